"""What feeds of NowGoal can do beyond others."""

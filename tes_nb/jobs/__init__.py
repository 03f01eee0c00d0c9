"""What runs in the user's own workers. The standard library alone, and little of that: every worker imports it."""

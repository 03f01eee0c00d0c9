"""What a user sees: contents that say what is new, sent to the browser by `push.py` on the repaint thread."""

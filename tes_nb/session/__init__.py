"""Sessions and feeds: where the rooms are wired together. `start.py` begins one, `open.py` opens a recorded one."""

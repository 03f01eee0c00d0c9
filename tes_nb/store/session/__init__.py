"""Session files (SQLite): `recorder.py` writes one, `reader.py` reads it, `salvage.py` where it is damaged."""

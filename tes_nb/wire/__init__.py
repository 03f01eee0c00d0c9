"""Pure rules of connections and messages: no I/O, no clock, no sleep. `record.py` is the form between processes."""

"""Sockets: where a message enters. `reader.py` reads a peer, `relay_client.py` the collector."""

"""The collector's ports: pages, relays, rows for the page, the control socket."""

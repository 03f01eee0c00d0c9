"""A collector that plays a recording."""

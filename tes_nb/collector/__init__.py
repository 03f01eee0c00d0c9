"""The kernel-side background server: samples, reads upstreams, stamps, relays, serves, records."""

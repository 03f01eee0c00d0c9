"""How fast tes_nb is, against what, measured in one run: see `docs/performance.md`."""

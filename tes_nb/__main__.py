"""`python -m tes_nb` is `tes-nb`."""

from tes_nb.cli import main

main()

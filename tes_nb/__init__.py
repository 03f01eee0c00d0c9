"""tes_nb: live TES streams in notebooks, as frames, plots and CSV."""

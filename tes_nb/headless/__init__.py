"""`tes-nb record`: a recording without a notebook, for weeks if need be."""

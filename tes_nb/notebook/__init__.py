"""The notebook's magics: `%load_ext tes_nb`, then `%tes`, `%%tes_observe`, `%%tes_record`."""

from tes_nb.notebook.magics import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

"""Take outputs, counts and volatile metadata out of the notebooks, so that git keeps only what people wrote."""

from __future__ import annotations

from pathlib import Path

import nbformat

METADATA = ("kernelspec", "language_info")


def strip(path: Path) -> None:
    """Rewrite the notebook without what running it has left."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {name: notebook.metadata[name] for name in METADATA if name in notebook.metadata}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in sorted(Path(__file__).resolve().parents[1].glob("notebooks/*.ipynb")):
        strip(path)

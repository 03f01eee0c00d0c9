"""A real JupyterLab on loopback for browser tests, and notebooks made of cells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "only-for-this-test"
START_S = 40.0


@dataclass(frozen=True, slots=True)
class Jupyter:
    """A running server."""

    url: str
    folder: Path

    def behind(self, url: str) -> Jupyter:
        """Return the same server as a browser finds it elsewhere."""
        return replace(self, url=url)

    def notebook(self, name: str, *cells: str) -> str:
        """Write a notebook of code cells; return the address that opens it in JupyterLab."""
        content = {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"c{place}",
                    "metadata": {},
                    "source": source,
                    "outputs": [],
                    "execution_count": None,
                }
                for place, source in enumerate(cells)
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.folder / f"{name}.ipynb").write_text(json.dumps(content))
        return self.address(name)

    def address(self, name: str) -> str:
        """Return the address that opens a notebook that is there."""
        return f"{self.url}lab/workspaces/{name}/tree/{name}.ipynb?token={TOKEN}"


@contextmanager
def jupyter_lab(
    folder: Path, *, port: int = 0, environ: Mapping[str, str] = {}, options: Sequence[str] = ()
) -> Iterator[Jupyter]:
    """Start JupyterLab with settings and kernels of this Python alone; stop it and its kernels at the end.

    port: 0 = any free one. environ, options: beside the usual ones.
    """
    runtime = folder / ".runtime"
    env = {
        **os.environ,
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / ".config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"),
        "IPYTHONDIR": str(folder / ".ipython"),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_TOKEN": TOKEN,
        **environ,
    }
    quiet = folder / ".settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}'
    )
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--allow-root",
    ]
    usual = [
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = (folder / "jupyter.log").open("w")
    server = subprocess.Popen(
        [*command, *usual, *options, f"--ServerApp.root_dir={folder}"],
        env=env,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield Jupyter(_address(runtime, server, folder), folder)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(5)
        log.close()


def _address(runtime: Path, server: subprocess.Popen[bytes], folder: Path) -> str:
    facts = runtime / f"jpserver-{server.pid}.json"
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        if facts.exists():
            try:
                return str(json.loads(facts.read_text())["url"])
            except ValueError:
                pass  # being written
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start: {(folder / 'jupyter.log').read_text()[-1500:]}")

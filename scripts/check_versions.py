"""Whether tes_nb works on each Python it names, and with the oldest libraries that pyproject.toml allows.

    python scripts/check_versions.py                 # 3.12, 3.13 and "lowest", each where its Python is there
    python scripts/check_versions.py lowest --quick  # imports, command line and a session; no tests
    python scripts/check_versions.py 3.12 ipykernel==6.31   # one Python with other versions of libraries

Each case gets an environment of its own below .versions/ (kept: a second run takes only the tests' time), a quick
part of the tests, and a real session. "lowest" is Python 3.11 with every dependency at its lower bound.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".versions"
TESTS = ("tests/net", "tests/session/test_session.py", "tests/store", "tests/wire", "tests/test_packaging.py")
KERNEL_TESTS = ("tests/session/test_in_kernel.py",)
TEST_TOOLS = (
    "duckdb",
    "editables",
    "hatchling",
    "hypothesis",
    "jupyter-client",
    "polars",
    "pyarrow",
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "trustme",
)
SESSION = """
import warnings, tes_nb as tes
# older plotly warns of a trace type of its own that stands in its own templates
warnings.filterwarnings("ignore", r".scattermapbox. is deprecated", DeprecationWarning)
with tes.start(ports=(0, 0)) as session:
    session.metrics.wait(rows=3, timeout=30)
    frame = session.metrics.frame()
    assert len(frame) >= 3 and frame["memory_rss"].gt(0).all(), frame
    session.metrics.figure(live=False)
    print(session)
"""


def main() -> int:
    """Check each case; return 0 when all hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=["3.12", "3.13", "lowest"])
    parser.add_argument("--quick", action="store_true", help="no tests, only a session and the command line")
    arguments = parser.parse_args()
    pins = [word for word in arguments.cases if "==" in word]
    cases = [word for word in arguments.cases if "==" not in word]
    outcomes = {case: check(case, pins, quick=arguments.quick) for case in cases}
    for case, outcome in outcomes.items():
        print(f"{' '.join([case, *pins])}: {outcome}")
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


def check(case: str, pins: list[str], *, quick: bool) -> str:
    """Make the case's environment and try it; return what came of it."""
    python = find_python("3.11" if case == "lowest" else case)
    if python is None:
        missing = f"there is no Python {case} on PATH or below ~/.pyenv"
        return f"failed: {missing}" if os.environ.get("CI") else f"skipped: {missing}"
    bounds = [*lowest_bounds(), *pins] if case == "lowest" else pins
    venv = HOME / "-".join([case, *(re.sub(r"\W+", "_", pin) for pin in pins)])
    print(f"== {case} {' '.join(pins)}: {python}", flush=True)
    try:
        run("install", *installer(python, venv), *bounds, *TEST_TOOLS, "--editable", ".")
        own = venv / "bin" / "python"
        run("a session", own, "-W", "error", "-c", SESSION)
        run("the command line", venv / "bin" / "tes-nb", "--help", quiet=True)
        if not quick:
            tests = KERNEL_TESTS if pins else TESTS
            run("tests", own, "-m", "pytest", "-q", "-n", "3", "-m", "not slow", *tests)
    except subprocess.CalledProcessError as error:
        return f"failed: {error.args[1][0]}"
    return "holds"


def find_python(version: str) -> str | None:
    """The interpreter of that version; `None` = there is none."""
    program = shutil.which(f"python{version}")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version == own:
        return getattr(sys, "_base_executable", sys.executable)
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(pyenv[-1]) if pyenv else program


def lowest_bounds() -> Iterator[str]:
    """Each dependency of the package at its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name, bound = re.match(r"([\w-]+)>=([\w.]+)", requirement).groups()
        yield f"{name}=={bound}"


def installer(python: str, venv: Path) -> list[str | Path]:
    """Make the environment if it is missing; return the command that installs into it."""
    own = venv / "bin" / "python"
    if shutil.which("uv"):
        if not own.exists():
            run("uv venv", "uv", "venv", "--quiet", "--python", python, venv)
        return ["uv", "pip", "install", "--quiet", "--python", own]
    if not own.exists():
        run("venv", python, "-m", "venv", venv)
    return [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def run(what: str, *words: str | Path, quiet: bool = False) -> None:
    """Run a step of a case. Raises CalledProcessError with what it was."""
    environment = {**os.environ, "PATH": f"{Path(words[0]).parent}{os.pathsep}{os.environ['PATH']}"}
    out = subprocess.DEVNULL if quiet else None
    done = subprocess.run(words, cwd=ROOT, env=environment, stdout=out, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, [what])


if __name__ == "__main__":
    sys.exit(main())

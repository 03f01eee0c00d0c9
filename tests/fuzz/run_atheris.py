"""Coverage-guided fuzzing of one target: `python -m tests.fuzz.run_atheris TARGET [libFuzzer options]`.

    python -m tests.fuzz.run_atheris nowgoal_text -max_total_time=60 out/fuzz/nowgoal_text

Needs the package `atheris`. Further arguments go to libFuzzer: a folder keeps the corpus between runs. The real
messages of the tests are its first inputs, through a folder that is made beside it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tes_nb"]):
    from tests.fuzz.targets import TARGETS
from tests.fuzz.test_targets import SEEDS


def main() -> None:
    """Run libFuzzer on the target that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"Name a target: {', '.join(TARGETS)}.")
    target = TARGETS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(SEEDS):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        atheris.Setup([*sys.argv, folder], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

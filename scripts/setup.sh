#!/usr/bin/env bash
# Makes the virtual environment that the Makefile uses: with uv if it is there and works, else with venv and pip.
# May be called again at any time: what is whole is kept, what is half made is made anew.
set -euo pipefail
venv=$1
python=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

check_python() {
  command -v "$python" >/dev/null || {
    say "tes_nb needs Python 3.11 or newer, and there is no '$python'. Install it (Debian: apt install python3 python3-venv) or set PYTHON=/path/to/python3.12, and run make again."
    exit 1
  }
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "tes_nb needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1). Set PYTHON=/path/to/python3.12 and run make again."
    exit 1
  }
}

# Whether the environment has a Python that starts, new enough, and is one of its own.
is_whole() {
  [ -x "$venv/bin/python" ] &&
    "$venv/bin/python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix or sys.version_info < (3, 11))' 2>/dev/null
}

with_uv() {
  is_whole || uv venv --quiet --clear --python "$python" "$venv" || return
  uv pip install --quiet --python "$venv/bin/python" --editable . --group dev
}

with_pip() {
  is_whole && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || new_venv
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable . --group dev || {
    say "The packages could not be installed; pip says why above. Nothing outside of $venv was changed: run make again when that is mended."
    exit 1
  }
}

new_venv() {
  "$python" -c 'import ensurepip, venv' 2>/dev/null || {
    say "'$python' cannot make virtual environments: on Debian and Ubuntu install python3-venv (sudo apt install python3-venv), elsewhere uv, and run make again."
    exit 1
  }
  "$python" -m venv --clear "$venv"
}

check_python
say "Setting up $venv (once; this takes a minute or two)…"
if command -v uv >/dev/null; then
  if with_uv; then exit 0; fi
  say "uv is there but could not install (see above); going on with venv and pip."
fi
with_pip

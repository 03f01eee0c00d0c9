#!/usr/bin/env bash
# Runs the notebooks on other versions of ipykernel: each gets a small environment that borrows all else from .venv.
#   scripts/kernels.sh .venv 6.31 7.3 7.4
set -euo pipefail
venv=$(cd "$1" && pwd)
shift
borrowed=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for version in "$@"; do
  home="$PWD/.kernels/$version"
  if [ ! -e "$home/.installed" ]; then
    "$venv/bin/python" -m venv --clear --without-pip "$home"
    own=$("$home/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf 'import site; site.addsitedir("%s")\n' "$borrowed" > "$own/borrowed.pth"
    if command -v uv >/dev/null 2>&1; then
      uv pip install --quiet --python "$home/bin/python" "ipykernel==$version.*"
    else
      "$venv/bin/python" -m pip --python "$home/bin/python" install --quiet --disable-pip-version-check "ipykernel==$version.*"
    fi
    # Under the usual name, with its own Python: what starts "python3" then starts this one.
    mkdir -p "$home/share/jupyter/kernels/python3"
    printf '{"argv": ["%s", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "ipykernel %s", "language": "python"}\n' \
      "$home/bin/python" "$version" > "$home/share/jupyter/kernels/python3/kernel.json"
    touch "$home/.installed"
  fi
  echo "On ipykernel $("$home/bin/python" -c 'import ipykernel; print(ipykernel.__version__)'):"
  JUPYTER_PATH="$home/share/jupyter" "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/test_notebooks.py -k "runs and not nowgoal and not many_sessions"
done

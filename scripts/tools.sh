#!/usr/bin/env bash
# Installs the programs that tests drive: Chromium, tmux, strace and the like. apt where root; elsewhere it takes
# Playwright's own Chromium (if there is a .venv yet), and says what an administrator would have to install for the rest.
#   scripts/tools.sh .venv
set -euo pipefail
venv=$1
missing=()
for pair in chromium:chromium tmux:tmux ip:iproute2 ss:iproute2 strace:strace faketime:faketime node:nodejs npm:npm; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  missing=()
fi
if [ -x "$venv/bin/python" ] && ! "$venv/bin/python" -c 'import sys; from tests.support.browser import chromium; sys.exit(chromium() is None)'; then
  "$venv/bin/python" -m playwright install chromium
fi
[ -d node_modules/pako ] && [ -d node_modules/axe-core ] || ! command -v npm >/dev/null || npm ci --silent
others=$(printf '%s\n' "${missing[@]}" | grep -vx chromium | sort -u | tr '\n' ' ' || true)
[ -z "${others// /}" ] || echo "An administrator may install the rest: sudo apt-get install $others"

#!/usr/bin/env bash
# Make the virtual environment $1 from python3 alone: a venv, uv in it, then exactly what the lock file says.
set -euo pipefail
venv=$1
started=$SECONDS
say() { printf '[%3ds] %s\n' "$((SECONDS - started))" "$*"; }
python=$(command -v python3) || { echo "python3 is missing: install Python 3.11 or newer" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$python is $($python --version); Python 3.11 or newer is needed" >&2; exit 1; }
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing python3-venv"
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
  else
    echo "the module venv is missing: install your system's python3-venv" >&2
    exit 1
  fi
fi
[ -x "$venv/bin/python" ] || { say "making $venv"; "$python" -m venv "$venv"; }
if [ ! -x "$venv/bin/uv" ]; then
  say "installing uv"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check -r requirements/uv.lock --require-hashes
fi
say "installing the locked dependencies"
VIRTUAL_ENV="$venv" "$venv/bin/uv" pip sync -q --require-hashes requirements/dev.lock requirements/uv.lock
say "environment ready"

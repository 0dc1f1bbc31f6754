#!/usr/bin/env bash
# Makes what the Makefile needs: `setup.sh venv` the Python environment, `setup.sh codex` the pinned Codex CLI,
# `setup.sh system` what some tests want of the system.
# In CI, as root on Debian, it installs missing system packages itself; elsewhere it says what is missing.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

apt_install() {
  if [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
  else
    return 1
  fi
}

find_python() {
  for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      printf '%s' "$candidate"
      return 0
    fi
  done
  return 1
}

make_venv() {
  local python
  if ! python=$(find_python); then
    if ! apt_install python3 python3-venv || ! python=$(find_python); then
      say "Python 3.10 or newer with venv is needed: install python3 and python3-venv, or set PYTHON=/path/to/python3."
      exit 3
    fi
  fi
  command -v git >/dev/null || apt_install git || { say "Git is needed: install git."; exit 3; }
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
}

make_codex() {
  if ! command -v npm >/dev/null && ! apt_install nodejs npm; then
    say "npm is needed to install the pinned Codex CLI: install Node.js 18 or newer."
    exit 3
  fi
  cd tests/codex
  npm ci --no-audit --no-fund --loglevel=error >&2
}

# What only some tests need. On a person's machine they are skipped without it, and say so.
make_system() {
  [ "${CI:-}" = true ] || return 0
  command -v nvim >/dev/null || apt_install neovim || { say "Neovim is needed in CI: install neovim."; exit 3; }
  command -v unshare >/dev/null || apt_install util-linux || { say "unshare is needed: install util-linux."; exit 3; }
}

case "${1:-}" in
  venv) make_venv ;;
  codex) make_codex ;;
  system) make_system ;;
  *) say "usage: scripts/setup.sh venv|codex|system"; exit 2 ;;
esac

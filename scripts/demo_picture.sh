#!/usr/bin/env bash
# Records the real demo in a real terminal (tmux) and keeps its second scene as docs/images/demo.svg.
set -eu
cd "$(dirname "$0")/.."
socket="picture-$$"
trap 'tmux -L "$socket" kill-server 2>/dev/null || true' EXIT
tmux -L "$socket" -f /dev/null new-session -d -x 100 -y 60 \
  "PATH='$PWD/tests/codex/node_modules/.bin':\$PATH COLUMNS=100 .venv/bin/codex-sidecar demo; sleep 600"
for _ in $(seq 90); do
  sleep 1
  screen=$(tmux -L "$socket" capture-pane -e -p -S -400)
  case "$screen" in *"scratch repository was removed"*) break ;; esac
done
printf '%s\n' "$screen" | .venv/bin/python -c '
import re, sys
from rich.console import Console
from rich.text import Text
text = sys.stdin.read().rstrip()
# The second scene: two collisions, the warnings, a merge and a re-run.
text = text[text.index("Now four more"):text.index("$ git diff\n", text.index("Now four more"))].rstrip()
text = re.sub(r"found at \S+", "found at …/node_modules/.bin/codex.", text)
text = re.sub(r"/tmp/codex-sidecar-demo-\w+", "/tmp/codex-sidecar-demo", text)
console = Console(record=True, width=100, file=open("/dev/null", "w"), force_terminal=True, color_system="truecolor")
console.print(Text.from_ansi(text))
svg = console.export_svg(title="codex-sidecar demo")
svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S)
open("docs/images/demo.svg", "w").write(re.sub(r"[ \t]+\n", "\n", svg))
'

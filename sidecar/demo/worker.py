"""A stand-in for the Codex CLI where none is installed: it plays a prompt's script by itself.

It takes the command line of `codex exec --json … -`, really runs the commands and applies the patches in its working
directory, and prints events of the same shapes. It has no sandbox, no model and no tools of others, and it never
claims to be Codex: `--version` says `scripted-worker 1.0`. `sidecar.demo.script` describes the scripts.

    CODEX_SIDECAR_CODEX="python -m sidecar.demo.worker"
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.demo.patch import Changes, apply_patch
from sidecar.demo.script import Step, find_script, say, wait_until

VERSION = "scripted-worker 1.0"
_OUTPUT_BYTES = 1024 * 1024
_RETRIES = 5
_SHORT = {"-m": "--model", "-s": "--sandbox", "-C": "--cd", "-o": "--output-last-message", "-c": "--config"}
_WITH_VALUE = frozenset(_SHORT.values()) | {"--output-schema", "--add-dir", "-p", "--profile", "--enable", "--disable"}


@dataclass
class Options:
    """What this worker understands of the command line of `codex exec` and `codex exec resume`."""

    command: str = ""
    thread_id: str = ""
    directory: str | None = None
    last_message: str | None = None
    may_write: bool = True

    @classmethod
    def parse(cls, arguments: list[str]) -> Options:
        options = cls()
        words: list[str] = []
        rest = iter(arguments)
        for argument in rest:
            name = _SHORT.get(argument, argument)
            value = next(rest, "") if name in _WITH_VALUE else ""
            if name == "--cd":
                options.directory = value
            elif name == "--output-last-message":
                options.last_message = value
            elif name == "--sandbox" or (name == "--config" and value.startswith("sandbox_mode=")):
                options.may_write = "read-only" not in value
            elif argument == "-" or not argument.startswith("-"):
                words += [argument] if name not in _WITH_VALUE else []
        options.command = words[0] if words else ""
        options.thread_id = words[2] if words[1:2] == ["resume"] and len(words) > 2 else str(uuid.uuid4())
        return options


class Turn:
    """One turn: plays the steps and prints what happens."""

    def __init__(self, thread_id: str, *, may_write: bool) -> None:
        self.last_message: str | None = None
        self._thread_id = thread_id
        self._may_write = may_write
        self._items = 0
        self._usage = [0, 0, 0, 0]

    def play(self, steps: list[Step]) -> int:
        """Returns the exit code."""
        _print({"type": "thread.started", "thread_id": self._thread_id})
        _print({"type": "turn.started"})
        for step in steps:
            wait_until(step.modifiers, time.sleep)
            time.sleep(step.modifiers.delay + step.modifiers.stall)
            if (problem := _failure(step)) is not None:
                if step.modifiers.sse == "hang":
                    while True:
                        time.sleep(3600)
                for attempt in range(1, min(step.modifiers.times or _RETRIES, _RETRIES) + 1):
                    _print({"type": "error", "message": f"Reconnecting... {attempt}/{_RETRIES} ({problem})"})
                if step.modifiers.times is None or step.modifiers.times > _RETRIES:
                    _print({"type": "error", "message": problem})
                    _print({"type": "turn.failed", "error": {"message": problem}})
                    return 1
            for action in step.actions:
                self._act(action)
            self._usage = [total + part for total, part in zip(self._usage, step.modifiers.usage, strict=True)]
            if step.actions and {"message", "json"} & step.actions[-1].keys():
                break
        read, cached, written, reasoned = self._usage
        usage = {"input_tokens": read, "cached_input_tokens": cached, "cache_write_input_tokens": 0}
        usage |= {"output_tokens": written, "reasoning_output_tokens": reasoned}
        _print({"type": "turn.completed", "usage": usage})
        return 0

    def _act(self, action: dict[str, Any]) -> None:
        if "message" in action or "json" in action:
            self.last_message = action["message"] if "message" in action else json.dumps(action["json"])
            self._item("completed", type="agent_message", text=self.last_message)
        elif "reasoning" in action:
            self._item("completed", type="reasoning", text=action["reasoning"])
        elif "sh" in action:
            self._run(action["sh"])
        elif "patch" in action:
            self._patch(action["patch"])
        else:
            self._item("completed", type="error", message=f"the scripted worker cannot play {json.dumps(action)}")

    def _run(self, command: str) -> None:
        argv = ["/bin/bash", "-lc", command]
        item: dict[str, Any] = {"id": f"item_{self._items}", "type": "command_execution", "command": shlex.join(argv)}
        self._item("started", **item, aggregated_output="", exit_code=None, status="in_progress")
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = done.stdout[-_OUTPUT_BYTES:].decode(errors="replace")
        status = "failed" if done.returncode else "completed"
        self._item("completed", **item, aggregated_output=output, exit_code=done.returncode, status=status)

    def _patch(self, text: str) -> None:
        if not self._may_write:
            print("patch rejected: writing is blocked by the read-only mode", file=sys.stderr)
            return
        item: dict[str, Any] = {"id": f"item_{self._items}", "type": "file_change"}

        def begins(changes: Changes) -> None:
            # Before the deed, as Codex says it: the sidecar names nobody who said nothing in time.
            item["changes"] = changes
            self._item("started", **item, status="in_progress")

        try:
            apply_patch(text, Path.cwd(), begins)
        except (ValueError, OSError) as exc:
            print(f"patch rejected: {exc}", file=sys.stderr)
            if "changes" in item:
                self._item("completed", **item, status="failed")
            return
        self._item("completed", **item, status="completed")

    def _item(self, event: str, **fields: Any) -> None:
        _print({"type": f"item.{event}", "item": {"id": f"item_{self._items}", **fields}})
        self._items += event == "completed"


def _failure(step: Step) -> str | None:
    if step.modifiers.http is not None:
        return f"the script says {step.modifiers.http}"
    if step.modifiers.sse is not None:
        return f"stream disconnected before completion: the script says {step.modifiers.sse}"
    return None


def _print(event: dict[str, Any]) -> None:
    print(json.dumps(event, separators=(",", ":")), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Reads the prompt from standard input and plays its script; 2 for anything but `exec`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--version" in arguments:
        print(VERSION)
        return 0
    options = Options.parse(arguments)
    if options.command != "exec":
        print("the scripted worker knows `exec` and `--version` only", file=sys.stderr)
        return 2
    if options.directory:
        os.chdir(options.directory)
    prompt = sys.stdin.buffer.read().decode(errors="replace")
    turn = Turn(options.thread_id, may_write=options.may_write)
    code = turn.play(find_script(prompt) or [say("ok")])
    if options.last_message and code == 0 and turn.last_message is not None:
        Path(options.last_message).write_text(turn.last_message)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""A real Codex as the boss: its model is a Python generator that sees the tools' answers and says what to do next.

The model of the API keeps no conversation, so the generator is played again for every request, from the outputs that
the request carries. It must therefore decide by these outputs alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from sidecar.bosses.setup import BOSSES, Setup
from sidecar.demo.model import ScriptedModel
from sidecar.demo.script import Modifiers, Step, say
from tests.support.codex import native_codex, write_codex_home

WORD = "BOSS:"
"""Begins the task of a boss; the workers' tasks have scripts of their own."""
NAMESPACE = "mcp__codex_cli_wrapper"
Brain = Callable[[], Generator[list[dict[str, Any]], list[dict[str, Any]], str]]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """One call of a tool; a list of them comes in one answer of the model."""
    return {"tool": tool, "args": arguments}


class BossModel(ScriptedModel):
    """Plays the brain for the boss, and scripts for the workers. `seen` are the answers, by tool, in their order."""

    def __init__(self, brain: Brain) -> None:
        super().__init__()
        self._brain = brain
        self.seen: list[tuple[str, str]] = []
        self.talk: list[tuple[dict[str, Any], dict[str, Any]]] = []
        """Calls and what they answered, for `tests.support.transcript`."""

    def accept(self, body: dict[str, Any]) -> tuple[Step, Modifiers]:
        if WORD not in json.dumps(body.get("input"))[:200_000]:
            return super().accept(body)
        with self._lock:
            self.requests.append(body)
        step = self._think(body)
        return step, step.modifiers

    def _think(self, body: dict[str, Any]) -> Step:
        outputs = {
            item["call_id"]: item.get("output")
            for item in body.get("input") or []
            if str(item.get("type", "")).endswith("_output") and "call_id" in item
        }
        calls = [item for item in body.get("input") or [] if str(item.get("type", "")).endswith("_call")]
        answers = [(item, outputs[item["call_id"]]) for item in calls if item.get("call_id") in outputs]
        code_mode = any(item.get("name") == "exec" and item.get("type") == "custom_tool_call" for item in calls) or (
            "custom" in json.dumps([tool for tool in _tools(body) if tool.get("name") == "exec"])
        )
        thinking = self._brain()
        wanted = next(thinking)
        self.seen, self.talk = [], []
        while True:
            if len(answers) < len(wanted):
                return Step(tuple(_action(one, code_mode) for one in wanted))
            taken, answers = answers[: len(wanted)], answers[len(wanted) :]
            texts = [_text(output) for _, output in taken]
            self.seen += [(one["tool"], text) for one, text in zip(wanted, texts, strict=True)]
            values = [_value(text) for text in texts]
            self.talk += zip(wanted, values, strict=True)
            try:
                wanted = thinking.send(values)
            except StopIteration as end:
                return say(str(end.value))


def _tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = list(body.get("tools") or [])
    for item in body.get("input") or []:
        if item.get("type") == "additional_tools":
            found += item.get("tools") or []
    return found


def _action(wanted: dict[str, Any], code_mode: bool) -> dict[str, Any]:
    if code_mode:
        source = f"text(await tools.{NAMESPACE}__{wanted['tool']}({json.dumps(wanted['args'])}))"
        return {"custom": "exec", "input": source}
    return {"call": wanted["tool"], "namespace": NAMESPACE, "args": wanted["args"]}


def _text(output: Any) -> str:
    if isinstance(output, str):
        return output
    return "".join(str(part.get("text", "")) for part in output or [] if isinstance(part, dict))


def _value(text: str) -> dict[str, Any]:
    """The tool's JSON within what the boss sees: bare for a direct model, within the result in code mode."""
    decoder = json.JSONDecoder()
    for start in range(len(text)):
        if text[start] != "{":
            continue
        try:
            value, _ = decoder.raw_decode(text[start:])
        except ValueError:
            continue
        inner = value.get("structuredContent", value.get("structured_content"))
        found: dict[str, Any] = inner if isinstance(inner, dict) else value
        return found
    return {"unreadable": text}


def boss_home(directory: Path, model: BossModel, name: str, env: dict[str, str]) -> Path:
    """A CODEX_HOME with the entry that `codex-sidecar install codex` writes."""
    home = write_codex_home(directory, model.url, name)
    Setup(BOSSES["codex"], {**env, "CODEX_HOME": str(home)}).install()
    return home


def start_boss(repo: Path, home: Path, task: str = "lead the team", **more: Any) -> subprocess.Popen[str]:
    """`codex exec` as the boss; its events go to standard output."""
    env = {**os.environ, "CODEX_HOME": str(home), "CODEX_SIDECAR_CODEX": str(native_codex())}
    return subprocess.Popen(
        [str(native_codex()), "exec", "--json", "-s", "read-only", "-C", str(repo), f"{WORD} {task}"],
        cwd=repo,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def events_of(text: str) -> list[dict[str, Any]]:
    """What `codex exec --json` printed."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

"""The standard's own test suite on the sidecar: how its fixtures are met, and what its checks said.

The suite calls tools, prompts and resources of fixed names, which a server made for it has. The relay gives those that
have a counterpart here to our own; the others stay unknown, and their checks are among the exceptions.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sidecar.demo.script import MARKER
from tests.support.mcp_clients import FOLDER, MODULES, NODE, run_any
from tests.support.relay import Rewrite

EXCEPTIONS = FOLDER / "conformance_exceptions.json"
PROGRAM = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
ERAS = ("2025-11-25", "2026-07-28")
TASKS = (
    "tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal",
    "tasks-mrtr-input", "tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-required-task-error",
    "tasks-mrtr-composition", "tasks-status-notifications",
)  # fmt: skip
"""The scenarios of the Tasks extension, which belong to no version."""


def job(*steps: object) -> dict[str, Any]:
    return {"prompt": f"{MARKER} {json.dumps(steps)}"}


def fixtures(job_id: str) -> Rewrite:
    """Gives the suite's fixtures to our own tools, prompt and resources; `job_id` is a job whose resources are read."""

    def tool(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        found: dict[str, tuple[str, dict[str, Any]]] = {
            "greet": ("codex_status", {}),
            "test_simple_text": ("codex_status", {}),
            "test_logging_tool": ("codex_status", {}),
            "test_streaming_elicitation": ("codex_status", {}),
            "test_error_handling": ("codex_result", {"jobId": "none"}),
            "slow_compute": ("codex_run", job({"sh": f"sleep {arguments.get('seconds', 0)}"}, {"message": "slept"})),
            "failing_job": ("codex_run", job({"sh": "sleep 1"}, {"http": 400, "body": {}})),
        }
        return found.get(name, (name, arguments))

    def prompt(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        found = {
            "test_simple_prompt": ("a2-round", {}),
            "test_prompt_with_arguments": ("a2-round", {"task": " and ".join(map(str, arguments.values()))}),
        }
        return found.get(name, (name, arguments))

    uris = dict.fromkeys(("test://watched-resource", "test://static-text"), f"codex-sidecar://jobs/{job_id}/result")

    def rewrite(message: dict[str, Any]) -> dict[str, Any]:
        params = dict(message["params"])
        if message.get("method") in ("tools/call", "prompts/get"):
            named = tool if message["method"] == "tools/call" else prompt
            given = params.get("arguments") or {}
            name, arguments = named(params.get("name", ""), given)
            if name != params.get("name"):
                params |= {"name": name, "arguments": arguments}
        elif params.get("uri") in uris:
            params["uri"] = uris[params["uri"]]
        return {**message, "params": params}

    return rewrite


def checks(url: str, out: Path, *options: str) -> dict[str, dict[str, str]]:
    """Runs scenarios; for each the status of its checks, and what a failed one said: `{scenario: {check: words}}`.

    The words are empty where a check passed.
    """
    run_any(NODE, PROGRAM, "server", "--url", url, "-o", out, *options, cwd=out.parent)
    found: dict[str, dict[str, str]] = {}
    for file in sorted(out.glob("*/checks.json")):
        # server-NAME-2026-11-28T13-23-35-008Z
        name = file.parent.name.removeprefix("server-").rsplit("-", 6)[0]
        seen = found.setdefault(name, {})
        for check in json.loads(file.read_text()):
            if check["status"] in ("SUCCESS", "FAILURE"):
                words = check.get("errorMessage") or check["description"] if check["status"] == "FAILURE" else ""
                seen[check["id"]] = seen.get(check["id"]) or words
    return found


def run(url: str, out: Path, part: str) -> dict[str, dict[str, str]]:
    """All scenarios of a version, or of `tasks`; the latter wait most of the time, so some run side by side."""
    if part != "tasks":
        out.mkdir()
        return checks(url, out, "--suite", "all", "--spec-version", part)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda name: checks(url, _made(out / name), "--scenario", name), TASKS))
    return {name: seen for answer in answers for name, seen in answer.items()}


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def exceptions() -> dict[tuple[str, str], str]:
    """The checks that are known to fail, each with its reason: `{(scenario, check): reason}`."""
    known: dict[str, list[str]] = json.loads(EXCEPTIONS.read_text())
    return {(name, check): reason for reason, lines in known.items() for name, check in map(str.split, lines)}


def surprises(found: dict[str, dict[str, str]], known: dict[tuple[str, str], str]) -> list[str]:
    """What is not as the exceptions say: a check that failed and is none, and an exception that passed or is gone."""
    failed = {(name, check): words for name, seen in found.items() for check, words in seen.items() if words}
    expected = {one for one in known if one[0] in found}
    return [
        *(f"{' '.join(one)} failed: {failed[one]}" for one in sorted(failed.keys() - expected)),
        *(f"{' '.join(one)} did not fail: take it out of the exceptions" for one in sorted(expected - failed.keys())),
    ]

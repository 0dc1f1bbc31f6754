"""Every tool over a real MCP connection with calls made from its schema: good ones, bad ones and anything between.

None crashes or hangs, every answer has one of the two shapes, and a call that is refused has changed nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sidecar.mcp.connection import serve
from sidecar.model.errors import ERROR_KINDS
from sidecar.tools import table
from sidecar.tools.tool import Tool
from tests.support.collision import collision_repo, tasks
from tests.support.mcp import META, MODERN, PATIENCE, RawClient, checked, socket_pair
from tests.support.repo import git
from tests.support.round import Round, open_round

pytestmark = pytest.mark.slow
TOOLS = [tool for tool in table.TOOLS if not tool.editor_only]
OUTPUTS = {tool.name: jsonschema.Draft202012Validator(tool.output_schema) for tool in TOOLS}
NAMED = ("snapshotId", "conflictId", "jobId", "token", "runId")
"""What answers name and later calls may name, too."""
PEOPLE_ONLY = {"$schema", "description", "default", "title"}

# JSON escapes can hold halves of surrogate pairs, so the text that clients send can.
TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


class Bench:
    """A core with a conflict in its open run, an MCP client on it, and what there is to name in calls."""

    def __init__(self, round_: Round, client: RawClient, era: str) -> None:
        self.round = round_
        self.repo = round_.repo
        self.client = client
        self.meta = META if era == MODERN else {}
        self.names: dict[str, list[str]] = {name: [] for name in NAMED}
        self.loop = asyncio.get_running_loop()

    def sync(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Hypothesis runs in a thread of its own."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(2 * PATIENCE)

    async def ask(self, params: Any) -> dict[str, Any]:
        if self.meta and isinstance(params, dict):
            params = {**params, "_meta": self.meta}
        return await self.client.request("tools/call", params)

    def filled_in(self, value: Any) -> Any:
        """A drawn value with real ids in it, where there are such; the newest has number 0."""
        if isinstance(value, dict):
            return {key: self.filled_in(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled_in(item) for item in value]
        if isinstance(value, str) and (match := re.fullmatch(r"<(\w+) (\d)>", value)):
            known = self.names[match[1]][::-1]
            return known[int(match[2]) % len(known)] if known else value
        return value

    async def call(self, name: str, arguments: Any) -> dict[str, Any] | None:
        """The error of a refused call, None where it was answered. Both must have the shape that is promised."""
        reply = await self.ask({"name": name, "arguments": self.filled_in(arguments)})
        if "error" in reply:
            assert reply["error"]["code"] == -32602, reply
            return {"kind": "invalid-arguments"}
        result = checked({key: value for key, value in reply["result"].items() if key != "resultType"})
        answer: dict[str, Any] = result["structuredContent"]
        if result["isError"]:
            assert set(answer) == {"kind", "message", "hint", "details"}
            assert answer["kind"] in set(ERROR_KINDS) - {"internal"}, answer
            assert answer["message"]
            assert "Traceback" not in json.dumps(answer)
            return answer
        OUTPUTS[name].validate(answer)
        self._learn(answer)
        return None

    def _learn(self, answer: Any) -> None:
        """Remembers every id and token that an answer gave, so that later calls can name it."""
        if isinstance(answer, list):
            for item in answer:
                self._learn(item)
        elif isinstance(answer, dict):
            for key, value in answer.items():
                if key in self.names and isinstance(value, str):
                    if value not in self.names[key]:
                        self.names[key].append(value)
                else:
                    self._learn(value)

    async def settle(self) -> None:
        """Waits until no worker is left and what they left is known, so that nothing changes but by a call."""
        while live := list(self.round.core.manager.live):
            await self.round.call("codex_wait_any", jobIds=live[:1], timeoutMs=30_000)
        await self.round.core.a2.ends_known()

    def state(self, *, journal: bool = True) -> dict[str, Any]:
        """All that a call may not change when it is refused. With `journal` every row of the state, too."""
        core = self.round.core
        files = sorted(path for path in self.repo.rglob("*") if ".git" not in path.relative_to(self.repo).parts)
        jobs, omitted = core.manager.known_jobs(10_000)
        facts: dict[str, Any] = {
            "files": [(str(path), path.stat().st_mode, path.is_file() and path.read_bytes()) for path in files],
            "refs": git(self.repo, "for-each-ref"),
            "head": git(self.repo, "rev-parse", "HEAD"),
            "index": (self.repo / ".git" / "index").read_bytes(),
            "jobs": ([job.job_id for job in jobs], omitted),
            "run": msgspec.to_builtins(core.runs.open),
            "settings": msgspec.to_builtins(core.settings),
        }
        if journal:
            with contextlib.closing(sqlite3.connect(core.state_dir / "jobs.sqlite")) as connection:
                facts["journal"] = list(connection.iterdump())
            facts["kept"] = sorted(str(path) for path in core.state_dir.rglob("*") if path.suffix != ".log")
        return facts


@contextlib.asynccontextmanager
async def bench(path: Path, era: str) -> AsyncIterator[Bench]:
    repo = collision_repo(path)
    async with open_round(repo) as round_:
        await round_.ended(*[await round_.call("codex_spawn", **task) for task in tasks()])
        (conflict,) = await round_.conflicts()
        mine, theirs = await socket_pair()
        serving = asyncio.ensure_future(serve(round_.core, round_.caller.client, *theirs))
        client = RawClient(*mine)
        made = Bench(round_, client, era)
        if era != MODERN:
            await client.initialize()
        for name in ("codex_conflicts", "codex_status", "codex_baseline", "codex_rollback", "codex_snapshots"):
            assert await made.call(name, {}) is None
        assert made.names["conflictId"] == [conflict["conflictId"]]
        try:
            yield made
        finally:
            await client.close()
            await asyncio.wait_for(serving, PATIENCE)


def _valid(schema: dict[str, Any], name: str) -> st.SearchStrategy[Any]:
    """Values that a schema takes; where it is an id of something, often one that exists."""
    left = set(schema) - PEOPLE_ONLY
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(_valid(one, name) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        assert left <= {"type", "minimum", "maximum"}
        low, high = schema.get("minimum", -9), schema.get("maximum", 10**9)
        return st.sampled_from(sorted({low, min(low + 1, high), min(low + 40, high), high})) | st.integers(low, high)
    if kind == "string":
        assert left <= {"type", "minLength", "maxLength", "pattern"}
        if "pattern" in schema:
            return st.from_regex(re.compile(schema["pattern"].replace(r"(?![\s\S])", r"\Z")))
        safe = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
        made = safe.map(lambda text: text[: schema.get("maxLength")].ljust(schema.get("minLength", 0), "x"))
        key = name.removesuffix("s")
        # What there is changes with each call, and Hypothesis wants the same choices again: the bench fills these in.
        ids = [f"<{key} {number}>" for number in range(4)] if key in NAMED else []
        if name == "paths":
            ids = ["src/app.py", "README.md", "src", "missing.txt"]
        if name == "workingDirectory":
            ids = [".", "src", "/", ".."]
        return st.sampled_from(ids) | made if ids else made
    if kind == "array":
        assert left <= {"type", "items", "minItems", "maxItems"}
        size = {"min_size": schema.get("minItems", 0), "max_size": min(schema.get("maxItems", 3), 3)}
        return st.lists(_valid(schema.get("items", {}), name), **size)
    if kind == "object" and "properties" in schema:
        return _object(schema)
    if kind == "object":
        return st.dictionaries(st.from_regex(r"\A[a-z_]{1,9}\Z"), st.integers(0, 9), max_size=2)
    return JSON


def _object(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: _valid(sub, name) for name, sub in schema["properties"].items()}
    required = {name: fields[name] for name in schema.get("required", [])}
    return st.fixed_dictionaries(required, optional={name: fields[name] for name in fields.keys() - required.keys()})


def _bad_value(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a field's schema refuses."""
    kind = schema.get("type", "string" if "enum" in schema else None)
    types: dict[str, Callable[[Any], bool]] = {
        "string": lambda value: isinstance(value, str),
        "boolean": lambda value: isinstance(value, bool),
        "integer": lambda value: isinstance(value, (int, float)),
        "array": lambda value: isinstance(value, list),
        "object": lambda value: isinstance(value, dict),
    }
    assert kind in types, schema
    bad = [JSON.filter(lambda value: not types[kind](value))]
    if kind == "integer":
        bad.append(st.floats(0.1, 0.9).map(lambda part: schema.get("minimum", 1) + part))
        bad += [st.integers(max_value=schema["minimum"] - 1)] if "minimum" in schema else []
        bad += [st.integers(min_value=schema["maximum"] + 1)] if "maximum" in schema else []
    if kind == "string":
        bad += [st.sampled_from(["a\0", "\0", "\ud800", "a\udfff"])]
        bad += [st.just("")] if schema.get("minLength") else []
        bad += [st.just("x" * (schema["maxLength"] + 1))] if schema.get("maxLength", 10**9) < 10_000 else []
        bad += [st.sampled_from(["A", "no no", "x\n"])] if "pattern" in schema else []
        bad += [st.sampled_from(["Everything", ""])] if "enum" in schema else []
    if kind == "array":
        bad += [st.just([])] if schema.get("minItems") else []
        bad += [_bad_value(schema["items"]).map(lambda item: [item])] if schema["items"].get("type") == "string" else []
    return st.one_of(*bad)


def refused(tool: Tool) -> st.SearchStrategy[Any]:
    """Arguments that the tool's schema refuses, most of them a good call with one fault."""
    schema = tool.input_schema
    good = _object(schema)
    faults = [
        st.tuples(good, TEXT.filter(lambda key: key not in schema["properties"]), JSON).map(
            lambda all_: {**all_[0], all_[1]: all_[2]}
        )
    ]
    for name, sub in schema["properties"].items():
        if name == tool.each_by_itself:
            sub = {**sub, "items": {}}
        bad = _bad_value(sub)
        faults.append(st.tuples(good, bad).map(lambda both, name=name: {**both[0], name: both[1]}))  # type: ignore[misc]
    for name in schema.get("required", []):
        faults.append(good.map(lambda one, name=name: {key: one[key] for key in one if key != name}))  # type: ignore[misc]
    return st.one_of(*faults)


def small(examples: int) -> Any:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_what_a_schema_refuses_is_refused_and_changes_nothing(tmp_path: Path, era: str) -> None:
    async with bench(tmp_path / "repo", era) as it:
        await it.settle()
        before = it.state()

        def fuzz(tool: Tool) -> None:
            @given(arguments=refused(tool))
            @small(12)
            def check(arguments: Any) -> None:
                error = it.sync(it.call(tool.name, arguments))
                assert error is not None, (tool.name, arguments)
                assert error["kind"] == "invalid-arguments", (tool.name, arguments, error)

            check()

        for tool in TOOLS:
            await asyncio.to_thread(fuzz, tool)
            assert it.state() == before, tool.name


async def test_params_that_are_no_call_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path / "repo", "legacy") as it:
        await it.settle()
        before = it.state()
        name = st.sampled_from([*table.BY_NAME, "codex_run", ""]) | TEXT

        @given(
            params=JSON | st.fixed_dictionaries({"name": name | JSON}, optional={"arguments": TEXT | st.lists(JSON)})
        )
        @small(60)
        def check(params: Any) -> None:
            if isinstance(params, dict) and "arguments" not in params and params.get("name") in list(OUTPUTS):
                return
            reply = it.sync(it.ask(params))
            assert reply["error"]["code"] in (-32600, -32602), (params, reply)

        await asyncio.to_thread(check)
        assert it.state() == before


async def test_calls_that_may_be_good_are_answered_or_change_nothing(tmp_path: Path) -> None:
    """Also what acts: spawns, previews and their tokens, rollbacks and restores in a scratch repository."""
    async with bench(tmp_path / "repo", "legacy") as it:
        seen = {True: 0, False: 0}
        head = git(it.repo, "rev-parse", "HEAD")

        @given(data=st.data())
        @settings(parent=small(100), phases=[Phase.generate])
        def check(data: st.DataObject) -> None:
            tool = data.draw(st.sampled_from(TOOLS), label="tool")
            arguments = data.draw(_object(tool.input_schema), label="arguments")
            if tool.waits:
                arguments["timeoutMs"] = 0
            it.sync(it.settle())
            before = it.state(journal=False)
            error = it.sync(it.call(tool.name, arguments))
            seen[error is None] += 1
            if error is not None or tool.read_only:
                it.sync(it.settle())
                assert it.state(journal=False) == before, (tool.name, arguments, error)

        await asyncio.to_thread(check)
        await it.settle()
        assert min(seen.values()) > 10, seen
        assert git(it.repo, "rev-parse", "HEAD") == head
        assert git(it.repo, "fsck", "--no-dangling") == ""
        assert {job.status for job in it.round.core.manager.known_jobs(10_000)[0]} <= {"done", "failed", "cancelled"}

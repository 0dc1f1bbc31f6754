"""What an editor with dialogs is told unasked: seldom, one at a time, and never twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sidecar.lsp import notices
from sidecar.lsp.flows import notices as flow_notices
from sidecar.lsp.flows import texts
from sidecar.lsp.view import memory
from sidecar.lsp.view.memory import Memory, memory_of
from tests.support.flows import put
from tests.support.lsp import connected, eventually
from tests.support.lsp_conflicts import World, overlap, world
from tests.support.person import Person, person_at

__all__ = ["world"]

START = datetime(2026, 11, 22, 14, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "COLLECT_SECONDS", 0.05)


def ran(world: World, label: str, status: str, seconds: float, *paths: str) -> None:
    """A worker that ran so long and has ended."""
    times = {"startedAt": START.isoformat(), "finishedAt": (START + timedelta(seconds=seconds)).isoformat()}
    put(world, label, status, *paths, **times)


async def toast(person: Person, number: int = 0) -> dict[str, Any]:
    await eventually(lambda: len(person.saw("toast")) > number)
    return person.saw("toast")[number]


async def nothing_more(person: Person, told: int) -> None:
    """After a while in which every notice that is due would have come."""
    await asyncio.sleep(0.5)
    assert len(person.saw("toast")) == told, person.saw("toast")


async def test_a_conflict_is_told_once_a_run(world: World) -> None:
    async with person_at(world.core, {"notifications": "attention"}) as person:
        person.clicks("Review", "toast")
        world.a2.put(overlap())
        told = await toast(person)
        assert told["severity"] == "warning"
        assert told["message"] == "w1 and w2 changed the same lines in src/app.py."
        assert [one["label"] for one in told["buttons"]] == ["Review", "Later"]
        await eventually(lambda: bool(person.saw("open")))
        assert person.saw("open")[0]["line"] == 2
        world.a2.put(overlap("b.py"))
        await nothing_more(person, 1)
    async with person_at(world.core, {"notifications": "attention"}) as person:
        await nothing_more(person, 0)


async def test_a_conflict_that_nobody_answered_is_not_told_again_after_a_reload(world: World) -> None:
    world.a2.put(overlap())
    async with person_at(world.core, {"notifications": "attention"}) as person:
        del person.client.answers["codexSidecar/ui"]
        await person.client.wait_for_method("codexSidecar/ui")
    await memory_of(world.core).saved()
    assert Memory(world.core.state_dir / memory.FILE, list).told == {"run-1"}
    async with person_at(world.core, {"notifications": "attention"}) as person:
        world.a2.put(overlap("b.py"))
        await nothing_more(person, 0)


async def test_several_conflicts_are_one_notice(world: World) -> None:
    world.a2.put(overlap(), overlap("b.py"))
    async with person_at(world.core, {"notifications": "attention"}) as person:
        assert (await toast(person))["message"] == "2 files were changed by more than one worker."
        world.a2.put(overlap("c.py"))
        await nothing_more(person, 1)


async def test_a_finding_that_is_not_certain_is_not_told(world: World) -> None:
    world.a2.put(overlap(severity="information"), overlap("b.py", confirmed=False))
    async with person_at(world.core, {"notifications": "always"}) as person:
        await nothing_more(person, 0)


async def test_failed_and_quiet_workers_are_one_notice(world: World) -> None:
    put(world, "w0", "failed")
    put(world, "w3")
    put(world, "w5")
    quiet = (datetime.now(timezone.utc) - timedelta(minutes=3)).isoformat()
    async with person_at(world.core, {"notifications": "attention"}) as person:
        person.clicks("Show", "toast")
        put(world, "w3", "failed")
        put(world, "w5", stalled=True, lastActivityAt=quiet)
        told = await toast(person)
        assert told["message"] == "2 workers need attention: w3 failed, w5 has been quiet for 3 minutes."
        await eventually(lambda: {"kind": "view", "name": "workers"} in person.seen)
        await nothing_more(person, 1)


async def test_one_failed_worker_opens_its_transcript(world: World) -> None:
    put(world, "w3")
    async with person_at(world.core, {"notifications": "attention"}) as person:
        person.clicks("Show", "toast")
        put(world, "w3", "interrupted")
        assert (await toast(person))["message"] == "w3 was interrupted."
        await eventually(lambda: bool(person.saw("open")))
        assert "job=job-w3" in person.saw("open")[0]["uri"]


async def test_only_one_notice_is_open_at_a_time(world: World) -> None:
    put(world, "w1")
    put(world, "w2")
    async with person_at(world.core, {"notifications": "attention"}) as person:
        del person.client.answers["codexSidecar/ui"]
        put(world, "w1", "failed")
        first = await person.client.wait_for_method("codexSidecar/ui")
        put(world, "w2", "failed")
        world.a2.put(overlap())
        await asyncio.sleep(0.5)
        assert len(person.client.of_method("codexSidecar/ui")) == 1
        person.client.answers["codexSidecar/ui"] = person._answer
        person.client.send({"jsonrpc": "2.0", "id": first["id"], "result": None})
        await toast(person, 1)
        assert [one["message"] for one in person.saw("toast")] == [
            "w1 and w2 changed the same lines in src/app.py.",
            "w2 failed.",
        ]


async def test_a_notice_that_nobody_answers_keeps_no_other_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_notices, "SHOWN_SECONDS", 0.2)
    put(world, "w1")
    put(world, "w2")
    async with person_at(world.core, {"notifications": "attention"}) as person:
        del person.client.answers["codexSidecar/ui"]
        put(world, "w1", "failed")
        first = await person.client.wait_for_method("codexSidecar/ui")
        person.client.answers["codexSidecar/ui"] = person._answer
        put(world, "w2", "failed")
        assert (await toast(person))["message"] == "w2 failed."
        person.client.send({"jsonrpc": "2.0", "id": first["id"], "result": {"id": "show"}})
        await eventually(lambda: bool(person.saw("open")))
        assert "job=job-w1" in person.saw("open")[0]["uri"]


@pytest.mark.parametrize(
    ("setting", "seconds", "unless_focused"),
    [
        ("off", 300, None),
        ("attention", 300, None),
        ("finished", 61, True),
        ("finished", 59, None),
        ("always", 61, False),
        ("always", 59, None),
    ],
)
async def test_the_end_of_a_long_run_is_told_as_the_setting_says(
    world: World, setting: str, seconds: float, unless_focused: bool | None
) -> None:
    put(world, "w1")
    put(world, "w2")
    async with person_at(world.core, {"notifications": setting}) as person:
        person.clicks("Open Changes", "toast")
        ran(world, "w1", "done", 5, "src/app.py")
        await asyncio.sleep(0.2)
        assert person.saw("toast") == []
        ran(world, "w2", "done", seconds, "src/app.py", "b.py")
        if unless_focused is None:
            await nothing_more(person, 0)
            return
        told = await toast(person)
        assert told["message"] == "2 workers finished: 2 files changed."
        assert told.get("unlessFocused", False) is unless_focused
        await eventually(lambda: bool(person.saw("changes")))
        await nothing_more(person, 1)


async def test_a_run_that_failed_is_told_as_such_only(world: World) -> None:
    put(world, "w1")
    put(world, "w2")
    async with person_at(world.core, {"notifications": "always"}) as person:
        ran(world, "w1", "done", 100)
        ran(world, "w2", "failed", 100)
        assert (await toast(person))["message"] == "w2 failed."
        await nothing_more(person, 1)


async def test_do_not_show_again_holds_for_the_next_window(world: World) -> None:
    put(world, "w1")
    async with person_at(world.core, {"notifications": "finished"}) as person:
        person.clicks(texts.DO_NOT_SHOW, "toast")
        ran(world, "w1", "done", 100)
        assert [one["label"] for one in (await toast(person))["buttons"]] == [texts.DO_NOT_SHOW]
        await eventually(lambda: (world.core.state_dir / "no-finished-notices").exists())
    put(world, "w2")
    async with person_at(world.core, {"notifications": "finished"}) as person:
        ran(world, "w2", "done", 100)
        await nothing_more(person, 0)


async def test_workers_of_before_are_not_told(world: World) -> None:
    put(world, "w1", "failed")
    ran(world, "w2", "done", 100)
    async with person_at(world.core, {"notifications": "always"}) as person:
        put(world, "w1", "failed", activity="x")
        await nothing_more(person, 0)


async def test_a_client_that_shows_no_notice_is_asked_again_for_the_next(world: World) -> None:
    put(world, "w1")
    put(world, "w2")
    async with person_at(world.core, {"notifications": "attention"}) as person:
        del person.client.answers["codexSidecar/ui"]
        put(world, "w1", "failed")
        asked = await person.client.wait_for_method("codexSidecar/ui")
        person.client.send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}})
        person.client.answers["codexSidecar/ui"] = person._answer
        put(world, "w2", "failed")
        assert (await toast(person))["message"] == "w2 failed."


# -- the person's command ---------------------------------------------------------------------------------------------


def command(directory: Path, *, code: int = 0) -> tuple[str, Path]:
    """A command that appends what it is told to a file, its path with a blank in it, so quotes must be understood."""
    noted = directory / "noted here"
    program = directory / "note it.py"
    program.write_text(
        "import json, os, sys\n"
        "told = {k: v for k, v in os.environ.items() if k.startswith('CODEX_SIDECAR_RUN_')}\n"
        "with open(sys.argv[1], 'a') as file:\n"
        "    file.write(json.dumps([sys.argv[2:], os.getcwd(), told]) + '\\n')\n"
        f"sys.exit({code})\n"
    )
    return f"{sys.executable} '{program}' \"{noted}\" '$HOME' ';' x", noted


async def test_the_command_runs_once_when_all_have_ended(world: World, tmp_path: Path) -> None:
    line, noted = command(tmp_path)
    settings = {"notifications": "off", "onRunFinishedCommand": line}
    put(world, "w1")
    put(world, "w2")
    async with (
        person_at(world.core, settings, dict(os.environ)),
        person_at(world.core, settings, dict(os.environ)),
    ):
        ran(world, "w1", "done", 1)
        await asyncio.sleep(0.2)
        assert not noted.exists()
        ran(world, "w2", "failed", 1)
        await eventually(lambda: noted.exists() and noted.read_text().endswith("\n"))
        await asyncio.sleep(0.3)
        (told,) = [json.loads(one) for one in noted.read_text().splitlines()]
        assert told == [
            ["$HOME", ";", "x"],
            str(world.top),
            {
                "CODEX_SIDECAR_RUN_WORKERS": "2",
                "CODEX_SIDECAR_RUN_DONE": "1",
                "CODEX_SIDECAR_RUN_FAILED": "1",
                "CODEX_SIDECAR_RUN_CONFLICTS": "0",
                "CODEX_SIDECAR_RUN_TOP": str(world.top),
            },
        ]


@pytest.mark.parametrize("line", ["/nowhere/at/all", "'unclosed"])
async def test_a_command_that_cannot_run_disturbs_nothing(world: World, line: str) -> None:
    put(world, "w1")
    async with person_at(world.core, {"onRunFinishedCommand": line, "notifications": "finished"}) as person:
        ran(world, "w1", "done", 100)
        assert (await toast(person))["message"] == "1 worker finished: no file changed."


async def test_a_client_without_dialogs_runs_no_command(world: World, tmp_path: Path) -> None:
    """Its settings may come from a file of the repository."""
    line, noted = command(tmp_path)
    put(world, "w1")
    async with (
        connected(world.core, {"codexSidecar": {"onRunFinishedCommand": line}}),
        person_at(world.core, {"notifications": "finished"}) as person,
    ):
        ran(world, "w1", "done", 100)
        await toast(person)
        await asyncio.sleep(0.3)
        assert not noted.exists()

"""Several spawns in one call: each entry by itself, in order, and every error says which field of which entry."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.script import MARKER
from sidecar.model import limits
from sidecar.model.errors import SidecarError
from sidecar.tools.table import BY_NAME
from tests.rules.test_tools import bad
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round

ANSWER = '{"summary": "looked", "modifiedFiles": []}'
SPAWN = BY_NAME["codex_spawn"].input_schema["properties"]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


def work(title: str, *steps: Any) -> dict[str, Any]:
    """A write job that plays `steps`."""
    prompt = f"{title}. {MARKER} {json.dumps(steps)}"
    return {"prompt": prompt, "title": title, "sandbox": "workspace-write"}


async def group(round_: Round, *entries: Any) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = (await round_.call("codex_spawn_group", jobs=list(entries)))["results"]
    assert len(results) == len(entries)
    return results


async def test_a_bad_entry_stops_none_of_the_others_and_is_named(repo: Path) -> None:
    async with open_round(repo) as round_:
        results = await group(
            round_,
            {"prompt": "one", "title": "first"},
            {"sandbox": "read-only"},
            {"prompt": "two", "sandbox": "nothing"},
            7,
            {"prompt": "three", "dependsOn": ["x"], "expectedFiles": ["ok", 3]},
            {"prompt": "nul \0"},
            {"prompt": "  "},
            {"prompt": "four", "jobId": "x"},
            {"prompt": "five", "dependsOn": ["unheard"]},
            {"prompt": "six", "sandbox": "workspace-write"},
        )
        fields = [one["error"]["details"].get("field") if "error" in one else None for one in results]
        assert fields == [
            None, "jobs[1].prompt", "jobs[2].sandbox", "jobs[3]", "jobs[4].expectedFiles[1]", "jobs[5].prompt",
            "jobs[6].prompt", "jobs[7].jobId", None, None,
        ]  # fmt: skip
        for one, field in zip(results, fields, strict=True):
            if field is not None:
                assert one["error"]["message"].startswith(f"{field}: ")
                assert set(one["error"]) == {"kind", "message", "hint", "details"}
        assert results[8]["error"]["kind"] == "unknown-job"
        made = [results[0], results[9]]
        assert [(one["label"], one["title"], one["sandbox"]) for one in made] == [
            ("w1", "first", "read-only"), ("w2", "six", "workspace-write"),
        ]  # fmt: skip
        assert all("error" not in one and one["jobId"] for one in made)
        assert len((await round_.call("codex_status"))["jobs"]) == 2
        await round_.ended(*made)


async def test_entries_are_spawned_in_their_order_and_the_limits_hold(repo: Path) -> None:
    async with open_round(repo) as round_:
        hold = {"sh": "while [ ! -e ../go ]; do sleep 0.02; done"}
        results = await group(round_, *(work(f"job {n}", hold, {"text": ANSWER}) for n in range(5)))
        assert [one["label"] for one in results] == ["w1", "w2", "w3", "w4", "w5"]
        assert [one["status"] for one in results] == ["starting"] * 2 + ["queued"] * 3
        assert [one["queuePosition"] for one in results] == [None, None, 1, 2, 3]
        status = await round_.call("codex_status")
        assert len({one["runId"] for one in status["jobs"]}) == 1
        assert status["run"]["head"] == git(repo, "rev-parse", "HEAD").strip()
        (repo.parent / "go").touch()
        assert await round_.ended(*results) == ["done"] * 5


async def test_the_first_write_entry_records_the_baseline_as_a_spawn_does(repo: Path) -> None:
    (repo / "README.md").write_text("changed\n")
    async with open_round(repo) as round_:
        read, refused, taken, after = await group(
            round_,
            {"prompt": "look"},
            work("dirty", {"text": ANSWER}),
            {**work("clean", {"text": ANSWER}), "onDirty": "snapshot"},
            work("in the open run", {"text": ANSWER}),
        )
        assert refused["error"]["kind"] == "dirty-tree"
        assert refused["error"]["details"]["files"] == ["README.md"]
        assert [one["label"] for one in (read, taken, after)] == ["w1", "w2", "w3"]
        await round_.ended(read, taken, after)


@pytest.mark.parametrize("jobs", [None, {}, "x", 7, [], [{"prompt": "x"}] * (limits.GROUP_JOBS + 1)], ids=str)
async def test_the_call_itself_is_refused_only_for_its_list(repo: Path, jobs: Any) -> None:
    async with open_round(repo) as round_:
        for arguments in ({"jobs": jobs}, {}, {"jobs": [{"prompt": "x"}], "prompt": "x"}):
            with pytest.raises(SidecarError) as caught:
                await round_.call("codex_spawn_group", **arguments)
            assert caught.value.kind == "invalid-arguments"
            assert caught.value.details["field"] == ("jobs" if "prompt" not in arguments else "prompt")
        assert (await round_.call("codex_status"))["jobs"] == []


@pytest.mark.parametrize("field", SPAWN)
async def test_every_bad_value_of_every_field_is_refused_as_codex_spawn_refuses_it(repo: Path, field: str) -> None:
    async with open_round(repo) as round_:
        cases = [(path, value) for path, value in bad(SPAWN[field]) if len(str(value)) < 10_000]
        cases = [(path, value) for path, value in cases if not isinstance(value, float) or math.isfinite(value)]
        assert len(cases) >= 8
        for start in range(0, len(cases), limits.GROUP_JOBS):
            part = cases[start : start + limits.GROUP_JOBS]
            results = await group(round_, *({"prompt": "x", field: value} for _, value in part))
            for index, ((path, value), one) in enumerate(zip(part, results, strict=True)):
                named = one["error"]["details"]["field"].removesuffix("[...]")
                assert named == f"jobs[{index}].{field}{path}", f"{value!r:.100} gave {one['error']['message']}"
        assert (await round_.call("codex_status"))["jobs"] == []

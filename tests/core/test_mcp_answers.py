"""Long answers: cut to what a model can use, by meaning, and what is left out is counted and can be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.script import MARKER
from sidecar.mcp import answers, resources, uris
from tests.support.mcp import RawClient, connected
from tests.support.repo import make_repo
from tests.support.round import open_round

REPORT = {"json": {"summary": "did it", "modifiedFiles": []}}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\n"})


def job(number: int, status: str) -> dict[str, Any]:
    """As codex_status answers it."""
    return {
        "jobId": f"{number:032x}", "label": f"w{number}", "runId": f"{7:032x}", "title": f"Task {number} of many",
        "status": status, "sandbox": "workspace-write", "exitCode": 0 if status == "done" else None,
        "startedAt": "2026-01-01T00:00:00.000Z", "finishedAt": None, "lastActivityAt": "2026-01-01T00:00:00.000Z",
        "activity": "runs: make test", "stalled": False, "queuePosition": None,
        "usage": {"inputTokens": 100_000, "cachedInputTokens": 9_000, "outputTokens": 999, "reasoningOutputTokens": 99},
        "error": None,
    }  # fmt: skip


def status(*jobs: dict[str, Any], omitted: int = 0) -> dict[str, Any]:
    slot = {"limit": 8, "running": 1, "queued": 0}
    return {"jobs": list(jobs), "omitted": omitted, "limits": {"read": slot, "write": slot}, "run": None}


def result(touched: list[dict[str, Any]], modified: list[str] | None, conflicts: list[str]) -> dict[str, Any]:
    return {
        "jobId": "a" * 32, "label": "w1", "title": "Task", "status": "done", "exitCode": 0, "finalMessage": "x" * 8_000,
        "finalMessageTruncated": False, "modifiedFiles": modified, "reportMissing": False, "touchedFiles": touched,
        "conflicts": conflicts, "usage": job(1, "done")["usage"], "startedAt": "2026-01-01T00:00:00.000Z",
        "finishedAt": "2026-01-01T00:00:00.000Z", "error": None,
    }  # fmt: skip


def touched(count: int) -> list[dict[str, Any]]:
    return [{"path": f"src/file{number}.py", "change": "modified", "attribution": "seen"} for number in range(count)]


def test_a_list_that_fits_is_left_alone() -> None:
    answer = status(*(job(number, "done") for number in range(10)))
    assert answers.fitted("codex_status", answer) is answer
    one = job(1, "done") | {"activity": "x" * 20_000}
    assert answers.fitted("codex_status", one) is one


@pytest.mark.parametrize("count", [34, 100, 2_000])
def test_a_long_list_keeps_what_needs_attention_whole(count: int) -> None:
    jobs = [job(number, "done") for number in range(count)]
    urgent = {2: "running", 4: "failed", 5: "queued", 6: "stopping", 7: "interrupted", 8: "starting"}
    for number, word in urgent.items():
        jobs[number] = job(number, word)
    answer = status(*jobs, omitted=3)
    cut = answers.fitted("codex_status", answer)
    assert answers.size(cut) <= answers.STATUS_BYTES
    assert {key: cut[key] for key in ("limits", "run")} == {key: answer[key] for key in ("limits", "run")}
    whole = [one["label"] for one in cut["jobs"]]
    assert {f"w{number}" for number in urgent} <= set(whole)
    assert whole == sorted(whole, key=lambda label: int(label[1:]))
    assert all(one in jobs for one in cut["jobs"])
    # Of the others the newest are whole; they are in brief as long as there is room, and counted in any case.
    assert f"w{count - 1}" in whole
    assert cut["omitted"] == 3 + count - len(whole)
    assert len(cut["brief"]) >= 15
    assert all(set(one) == {"jobId", "label", "status"} for one in cut["brief"])
    assert not {one["label"] for one in cut["brief"]} & set(whole)
    if count == 34:
        assert len(cut["brief"]) + len(whole) == count
    assert "codex_status with a jobId" in cut["note"]
    assert str(uris.Address("", "jobs")) in cut["note"]


def test_a_long_list_of_unfinished_jobs_has_the_running_ones_first() -> None:
    jobs = [job(number, "queued") for number in range(200)]
    for number in range(150, 160):
        jobs[number] = job(number, "running")
    cut = answers.fitted("codex_status", status(*jobs))
    assert answers.size(cut) <= answers.STATUS_BYTES
    assert {f"w{number}" for number in range(150, 160)} <= {one["label"] for one in cut["jobs"]}
    assert cut["omitted"] == 200 - len(cut["jobs"])


def test_a_result_with_some_forty_files_has_all_that_the_worker_says() -> None:
    names = [f"src/part/file_{number:02}.py" for number in range(40)]
    cut = answers.fitted("codex_result", result(touched(40), names, []))
    assert cut["modifiedFiles"] == names
    assert answers.size({**cut, "finalMessage": None}) <= answers.RESULT_BYTES
    small = result(touched(8), names[:8], ["c1"])
    assert answers.fitted("codex_result", small) is small


def test_a_result_with_very_many_files_is_cut_with_counts_and_names_the_rest() -> None:
    full = result(touched(5_000), [f"src/{number}/ü{number}.py" for number in range(5_000)], ["c" * 26] * 300)
    cut = answers.fitted("codex_result", full)
    assert answers.size({**cut, "finalMessage": None}) <= answers.RESULT_BYTES
    assert cut["finalMessage"] == full["finalMessage"]
    assert cut["rest"] == f"codex-sidecar://jobs/{full['jobId']}/files"
    for name in ("modifiedFiles", "touchedFiles", "conflicts"):
        assert cut[name] == full[name][: len(cut[name])]
        assert cut["omitted"][name] == len(full[name]) - len(cut[name])
    assert cut["conflicts"]
    assert len(cut["modifiedFiles"]) > 20
    reader = answers.fitted("codex_result", result(touched(100), None, []))
    assert reader["modifiedFiles"] is None
    assert set(reader["omitted"]) == {"touchedFiles"}
    # A long message alone cuts no list, and neither does a view without lists.
    other = result([], [], []) | {"finalMessage": "x" * 100_000}
    assert answers.fitted("codex_result", other) is other
    view = {key: other[key] for key in ("jobId", "label", "title", "status", "exitCode", "finalMessage")}
    assert answers.fitted("codex_result", view) is view


async def rest(client: RawClient, uri: str) -> list[str]:
    """All lines of a resource that are not the sidecar's own, over all its parts."""
    lines: list[str] = []
    while uri:
        text = (await client.request("resources/read", {"uri": uri}))["result"]["contents"][0]["text"]
        assert len(text.encode()) <= resources.READ_BYTES
        lines += [line for line in text.split("\n") if not line.startswith("# ")]
        last = text.rpartition("\n")[2]
        uri = last.removeprefix("# Goes on at ") if last.startswith("# Goes on at ") else ""
    return lines


async def test_what_was_cut_of_a_result_is_in_its_resource_and_whole_elsewhere(repo: Path) -> None:
    names = [f"made/{number:03}-\u2028.txt" for number in range(300)]
    command = "mkdir made; for i in $(seq -w 0 299); do echo x > made/$i-\u2028.txt; done"
    async with open_round(repo) as round_:
        job = await round_.write("many", {"sh": command}, {"json": {"summary": "s", "modifiedFiles": names}})
        assert await round_.ended(job) == ["done"]
        whole = await round_.call("codex_result", jobId=job["jobId"])
        assert len(whole["modifiedFiles"]) == len(whole["touchedFiles"]) == 300
        async with connected(round_.core) as client:
            cut = (await client.call("codex_result", {"jobId": job["jobId"]}))["structuredContent"]
            assert cut["omitted"]["modifiedFiles"] == 300 - len(cut["modifiedFiles"]) > 0
            found = [json.loads(line) for line in await rest(client, cut["rest"])]
        assert [one for one in found if "path" in one] == whole["touchedFiles"]
        assert [one["modifiedFile"] for one in found if "modifiedFile" in one] == whole["modifiedFiles"]


async def test_what_was_cut_of_the_list_of_jobs_is_in_its_resource_and_whole_elsewhere(repo: Path) -> None:
    prompt = f"{MARKER} {json.dumps([REPORT])}"
    async with open_round(repo) as round_:
        made = await round_.call("codex_spawn_group", jobs=[{"prompt": prompt, "title": f"t{n}"} for n in range(34)])
        whole = await round_.call("codex_status")
        assert [one["label"] for one in whole["jobs"]] == [one["label"] for one in made["results"]]
        assert not {"brief", "note"} & set(whole)
        async with connected(round_.core) as client:
            cut = (await client.call("codex_status"))["structuredContent"]
            assert answers.size(cut) <= answers.STATUS_BYTES
            assert len(cut["jobs"]) + len(cut["brief"]) == 34
            assert set(cut["jobs"][0]) == set(whole["jobs"][0])
            lines = [json.loads(line) for line in await rest(client, "codex-sidecar://jobs")]
            assert [one["label"] for one in lines] == [one["label"] for one in reversed(made["results"])]
            refused = await client.request("resources/subscribe", {"uri": "codex-sidecar://jobs"})
            assert "listed" in refused["error"]["message"]
        for one in made["results"]:
            await round_.call("codex_cancel", jobId=one["jobId"], force=True)

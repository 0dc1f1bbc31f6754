"""What can be read of a job: addresses, sizes, parts that go on, and updates; on real jobs with real repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.mcp import difference, resources, uris
from sidecar.tools.caller import Caller, Client
from tests.support.mcp import MODERN, RawClient, connected, sdk_client
from tests.support.repo import make_repo
from tests.support.round import Round, open_round

UPDATED = "notifications/resources/updated"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": "one\ntwo\nthree\n"})


def report(summary: str = "did it", *files: str) -> dict[str, Any]:
    return {"json": {"summary": summary, "modifiedFiles": list(files)}}


def sh(command: str) -> dict[str, str]:
    return {"sh": command}


async def read(client: RawClient, uri: str) -> str:
    reply = await client.request("resources/read", {"uri": uri})
    assert "result" in reply, reply
    (content,) = reply["result"]["contents"]
    assert content["uri"] == uri
    text: str = content["text"]
    assert len(text.encode()) <= resources.READ_BYTES
    return text


async def parts(client: RawClient, uri: str) -> list[str]:
    """All parts of a resource, without their last lines, which say where they go on."""
    found = []
    while True:
        text, _, last = (await read(client, uri)).rpartition("\n")
        found.append(text if last.startswith("# ") else f"{text}\n{last}")
        if not last.startswith("# Goes on at "):
            return found
        uri = last.removeprefix("# Goes on at ")
        assert len(found) < 1_000


async def finished(round_: Round, *steps: Any, title: str = "t") -> str:
    job = await round_.write(title, *steps)
    await round_.ended(job)
    return str(job["jobId"])


# -- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [uris.Address("j-1_a", "diff"), uris.Address("j", "transcript", "a+/=&?% b")])
def test_an_address_reads_what_it_writes(address: uris.Address) -> None:
    assert uris.parse(str(address)) == address


@pytest.mark.parametrize(
    "uri",
    ["", "x:y", "codex-sidecar://jobs/j", "codex-sidecar://jobs/j/secret", "codex-sidecar://jobs//result",
     "codex-sidecar://jobs/../result/result", "codex-sidecar://jobs/j/result\n", "codex-sidecar://jobs/j/diff?to=1",
     "Codex-sidecar://jobs/j/diff", "codex-sidecar://jobs/a%2fb/diff", f"codex-sidecar://jobs/{'j' * 129}/diff"],
)  # fmt: skip
async def test_other_addresses_are_refused(uri: str) -> None:
    assert uris.parse(uri) is None
    async with connected(None) as client:
        for method in ("read", "subscribe", "unsubscribe"):
            assert (await client.request(f"resources/{method}", {"uri": uri}))["error"]["code"] == -32602


async def test_templates_cover_all_views() -> None:
    async with connected(None) as client:
        found = (await client.request("resources/templates/list"))["result"]["resourceTemplates"]
        assert [one["uriTemplate"] for one in found] == [
            "codex-sidecar://jobs/{jobId}/result",
            "codex-sidecar://jobs/{jobId}/transcript{?from}",
            "codex-sidecar://jobs/{jobId}/diff{?from}",
            "codex-sidecar://jobs/{jobId}/files{?from}",
            "codex-sidecar://jobs{?from}",
        ]
        assert all("never instructions" in one["description"] for one in found)


async def test_outside_a_repository() -> None:
    async with connected(None) as client:
        for view in uris.VIEWS:
            reply = await client.request("resources/read", {"uri": f"codex-sidecar://jobs/x/{view}"})
            assert reply["error"]["data"]["kind"] == "not-a-repository"


# -- reading ------------------------------------------------------------------------------------------------------


async def test_a_job_can_be_listed_and_read(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await finished(round_, sh("sed -i s/two/TWO/ app.py; echo new > new.txt"), report("all done", "app.py"))
        async with connected(round_.core) as client:
            listed = (await client.request("resources/list"))["result"]["resources"]
            assert [one["uri"] for one in listed] == [
                f"codex-sidecar://jobs/{job}/{view}" for view in ("result", "transcript", "diff")
            ]
            assert [one["name"] for one in listed] == ["w1-result", "w1-transcript", "w1-diff"]
            result = json.loads(await read(client, f"codex-sidecar://jobs/{job}/result"))
            assert result == (await client.call("codex_result", {"jobId": job}))["structuredContent"]
            (text,) = await parts(client, f"codex-sidecar://jobs/{job}/transcript")
            assert text.splitlines()[0].endswith("never instructions.")
            assert "#1 " in text
            assert " spawned" in text
            assert "all done" in text
            (text,) = await parts(client, f"codex-sidecar://jobs/{job}/diff")
            assert "--- baseline/app.py\n+++ w1/app.py\n@@ -1,4 +1,4 @@\n one\n-two\n+TWO\n three" in text
            assert "+++ w1/new.txt" in text
            for view in uris.VIEWS:
                reply = await client.request("resources/read", {"uri": f"codex-sidecar://jobs/unknown/{view}"})
                assert reply["error"]["data"]["kind"] == "unknown-job"
            for uri in ("result?from=1", "diff?from=x", "diff?from=-1", "diff?from=%C2%B2", "transcript?from=zzz"):
                reply = await client.request("resources/read", {"uri": f"codex-sidecar://jobs/{job}/{uri}"})
                assert reply["error"]["data"]["kind"] == "invalid-arguments", uri


async def test_a_read_only_job_has_no_diff(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.call("codex_spawn", prompt=f"SCRIPT: {json.dumps([report()])}")
        await round_.ended(job)
        async with connected(round_.core) as client:
            listed = (await client.request("resources/list"))["result"]["resources"]
            assert [one["name"] for one in listed] == ["w1-result", "w1-transcript"]
            assert "read-only" in await read(client, f"codex-sidecar://jobs/{job['jobId']}/diff")


async def test_the_diff_of_a_closed_run_says_so(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await finished(round_, sh("echo x > new.txt"), report("ok", "new.txt"))
        await round_.call("codex_baseline", begin=True, onDirty="snapshot")
        async with connected(round_.core) as client:
            assert "is closed" in await read(client, f"codex-sidecar://jobs/{job}/diff")


async def test_long_texts_come_in_parts_that_miss_nothing(repo: Path) -> None:
    async with open_round(repo) as round_:
        steps = [sh(f"seq {number}000 {number}300") for number in range(1, 9)]
        # A worker's lines that say the same as ours do not end a part.
        write = sh("for n in $(seq 3000); do echo line $n; done > long.txt; echo '# Goes on at nowhere' >> long.txt")
        job = await finished(round_, *steps, write, report("s" * 7_000, "long.txt"))
        async with connected(round_.core) as client:
            found = await parts(client, f"codex-sidecar://jobs/{job}/transcript")
            assert len(found) > 1
            numbers = [
                int(line[1:].split()[0]) for text in found for line in text.splitlines() if line[:1] == "#" != line[1:2]
                and line[1:2].isdigit()
            ]  # fmt: skip
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) > 10
            found = await parts(client, f"codex-sidecar://jobs/{job}/diff")
            assert len(found) > 2
            lines = [line for text in found for line in text.splitlines() if line.startswith("+line")]
            assert lines == [f"+line {number}" for number in range(1, 3001)]
            assert "+# Goes on at nowhere" in found[-1]


async def test_a_result_is_cut_to_valid_json(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await finished(round_, report("😀" * 7_000, *[f"dir/{number}.txt" for number in range(900)]))
        async with connected(round_.core) as client:
            result = json.loads(await read(client, f"codex-sidecar://jobs/{job}/result"))
            assert result["jobId"] == job
            assert result["finalMessageTruncated"] is True
            assert "codex_result" in result["note"]
            assert len(result["finalMessage"]) > 100
            assert len(result["modifiedFiles"]) > 1


async def test_a_file_that_cannot_be_compared_is_named(repo: Path) -> None:
    async with open_round(repo) as round_:
        large = difference.BYTES_MAX + 1
        job = await finished(
            round_,
            sh(f"head -c {large} /dev/zero | tr '\\0' x > large.txt; printf 'a\\0b' > b.bin; rm app.py"),
            report(),
        )
        async with connected(round_.core) as client:
            text = await read(client, f"codex-sidecar://jobs/{job}/diff")
            assert f"large.txt: added (seen), larger than {difference.BYTES_MAX} bytes." in text
            assert "b.bin: added (seen), binary." in text
            assert "-one\n-two\n-three" in text


@pytest.mark.parametrize("era", ["legacy", MODERN])
async def test_the_sdks_client_reads(repo: Path, era: str) -> None:
    async with open_round(repo) as round_:
        job = await finished(round_, report("the answer"))
        async with sdk_client(era, round_.core) as client:
            uri = str((await client.list_resources()).resources[0].uri)
            assert uri == f"codex-sidecar://jobs/{job}/result"
            content = (await client.read_resource(uri)).contents[0]
            assert json.loads(content.text)["finalMessage"] == "the answer"  # type: ignore[union-attr]


async def test_the_list_has_the_newest_jobs(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "JOBS_LISTED", 2)
    async with open_round(repo) as round_:
        jobs = [await round_.call("codex_spawn", prompt=f"SCRIPT: {json.dumps([report()])}") for _ in range(3)]
        await round_.ended(*jobs)
        assert [one.name for one in resources.recent(round_.core)] == [
            "w3-result", "w3-transcript", "w2-result", "w2-transcript",
        ]  # fmt: skip
        caller = Caller(round_.core, Client("mcp", "0", cwd=str(repo), env={}))
        assert (await resources.read(caller, uris.Address(jobs[0]["jobId"], "transcript"))).text

"""Actions of the palette on real repositories with real worker processes: what a person agrees to is what happens."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.demo.script import MARKER
from sidecar.lsp.documents import commit_uri
from sidecar.lsp.flows import texts
from sidecar.model.settings import CodexSettings
from tests.support.person import Person, item, person_at
from tests.support.repo import git, make_repo
from tests.support.round import Round, open_round, until

TEXT = "".join(f"line {n}\n" for n in range(1, 11))
ROLL_BACK = "Save Snapshot and Roll Back"
RERUN = "Roll Back and Re-run One by One"
REVIEW = "Review Changes First"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"app.py": TEXT, "other.py": TEXT, "README.md": "hello\n"})


def sh(script: str) -> dict[str, str]:
    return {"sh": script}


def report(*files: str) -> dict[str, Any]:
    return {"json": {"summary": "did it", "modifiedFiles": list(files)}}


async def page(person: Person, uri: str) -> str:
    reply = await person.client.request("workspace/textDocumentContent", {"uri": uri})
    return str(reply["result"]["text"])


async def changed(round_: Round) -> dict[str, Any]:
    """One worker that has changed app.py and made new.py."""
    job = await round_.write(
        "work", sh("sed -i s/^line\\ 3$/three/ app.py; echo new > new.py"), report("app.py", "new.py")
    )
    assert await round_.ended(job) == ["done"]
    return job


async def test_a_roll_back_is_chosen_named_and_done(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        job = await changed(round_)
        (repo / "README.md").write_text("mine\n")
        await round_.call("codex_conflicts")
        head = git(repo, "rev-parse", "HEAD")

        for script in (["pick"], ["ticks", "modal"]):
            for step in script:
                person.accepts_ticks() if step == "ticks" else person.dismisses(step)
            await person.does("rollback")
            assert (repo / "new.py").exists()

        person.accepts_ticks().clicks(REVIEW).clicks(texts.GO_ON, "toast").clicks(ROLL_BACK)
        seen = await person.does("rollback")
        ticks = {one["label"]: one["picked"] for one in seen[0]["items"]}
        assert ticks == {"app.py": True, "new.py": True, "README.md": False}
        assert item(seen[0], "README.md")["detail"] == texts.OWN_EDITS
        assert item(seen[0], "app.py")["description"] == job["label"]
        asked = seen[1]
        assert asked["message"] == "Roll back 2 files to the baseline?"
        assert "new.py did not exist before and will be removed." in asked["detail"]
        assert "Not touched: your edits in README.md" in asked["detail"]
        assert [one["label"] for one in asked["buttons"]] == [ROLL_BACK, RERUN, REVIEW]
        review = next(one for one in seen if one["kind"] == "changes")
        assert [one[1] is None for one in review["files"]] == [False, True]

        assert (repo / "app.py").read_text() == TEXT
        assert not (repo / "new.py").exists()
        assert (repo / "README.md").read_text() == "mine\n"
        assert git(repo, "rev-parse", "HEAD") == head

        # The undo of the undo: chosen, compared, asked, done.
        for script in (["pick"], ["pick 0", "modal"]):
            for step in script:
                person.picks("") if step == "pick 0" else person.dismisses(step)
            await person.does("restoreSnapshot")
            assert not (repo / "new.py").exists()
        person.picks("").clicks(REVIEW).clicks(texts.GO_ON, "toast").clicks("Save Snapshot and Restore")
        seen = await person.does("restoreSnapshot")
        assert seen[0]["items"][0]["description"] == "before a roll back"
        assert f"from the snapshot of {seen[0]['items'][0]['label']} (before a roll back)?" in seen[1]["message"]
        assert seen[1]["detail"].splitlines()[:2] == [
            "Replaced in this folder: app.py.",
            "new.py is not there now and will be created.",
        ]
        shown = next(one for one in seen if one["kind"] == "changes")
        versions = {one[0].rsplit("/", 1)[1]: one[2] for one in shown["files"]}
        assert (await page(person, versions["app.py"])).splitlines()[2] == "three"
        assert (repo / "app.py").read_text().splitlines()[2] == "three"
        assert (repo / "new.py").read_text() == "new\n"


async def test_only_what_is_ticked_goes_back(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        await changed(round_)
        (repo / "app.py").write_text("mine\n")
        await round_.call("codex_conflicts")
        seen = await person.accepts_ticks().clicks(ROLL_BACK).does("rollback")
        assert {one["label"]: one["picked"] for one in seen[0]["items"]} == {"app.py": False, "new.py": True}
        assert item(seen[0], "app.py")["detail"] == texts.WITH_OWN_EDITS
        assert not (repo / "new.py").exists()
        assert (repo / "app.py").read_text() == "mine\n"


async def test_a_roll_back_says_in_how_many_places_a_person_has_edited(repo: Path) -> None:
    (repo / "picture").write_bytes(b"\0one")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "picture")
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        job = await round_.write("work", sh("sed -i s/^line\\ 5$/five/ app.py; printf 2 >> picture"), report("app.py"))
        assert await round_.ended(job) == ["done"]
        lines = (repo / "app.py").read_text().splitlines()
        # Two lines changed in one place, one taken away in another; the worker's line stays.
        (repo / "app.py").write_text("\n".join(["mine", "mine, too", *lines[2:7], *lines[8:]]) + "\n")
        (repo / "picture").write_bytes(b"\0mine")
        await round_.call("codex_conflicts")
        seen = await person.dismisses("modal").does("rollbackWorker", {"jobId": job["jobId"]})
        assert "Also undone: your own edits in app.py (2 places) and picture." in seen[0]["detail"]


async def test_a_worker_s_commit_is_shown(repo: Path) -> None:
    marker = repo / "ran"
    git(repo, "config", "diff.external", f"touch {marker}")
    git(repo, "config", "diff.shown.textconv", f"touch {marker}; cat")
    (repo / ".git" / "info" / "attributes").write_text("*.py diff=shown\n")
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        steps = [sh("sed -i s/^line\\ 3$/three/ app.py; git commit -qam 'As I like it'"), report()]
        # The sandbox of all others keeps them from it.
        given = {"prompt": f"Do it. {MARKER} {json.dumps(steps)}", "sandbox": "danger-full-access"}
        job = await round_.call("codex_spawn", **given)
        assert await round_.ended(job) == ["done"]
        commit = git(repo, "rev-parse", "HEAD").strip()
        name = f"notice:commit:{job['jobId']}:{commit}"

        state = await person.client.request("codexSidecar/getState")
        found = {one["id"]: one for one in state["result"]["full"]["rows"]}[name]
        assert (found["label"], found["command"]) == (f"w1 created commit {commit[:7]}", "showCommit")
        for seen in (await person.does("showCommit", found["target"]), await person.does("nextAttention")):
            assert seen == [{"kind": "open", "uri": commit_uri(commit), "preview": True}]
        text = await page(person, commit_uri(commit))
        assert "As I like it" in text
        assert "-line 3\n+three\n" in text
        assert not marker.exists(), "nothing that the repository names was run"
        for wrong in (commit[:7], "HEAD", "--output=x"):
            reply = await person.client.request("workspace/textDocumentContent", {"uri": commit_uri(wrong)})
            assert reply["error"]["data"]["kind"] == "invalid-arguments"
        reply = await person.acts("showCommit", {})
        assert reply["error"]["data"]["kind"] == "invalid-arguments"


async def test_what_has_moved_meanwhile_makes_the_question_come_again(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        job = await changed(round_)

        def late(asked: dict[str, Any]) -> Any:
            (repo / "app.py").write_text("mine\n")
            return {"id": "rollBack"}

        person.unasked.append(("modal", late))
        seen = await person.dismisses("modal").does("rollbackWorker", {"jobId": job["jobId"]})
        assert len(seen) == 2
        assert "Also undone: your own edits in app.py (1 place)." in seen[1]["detail"]
        assert (repo / "app.py").read_text() == "mine\n"


async def test_rolling_back_can_become_running_again(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        job = await changed(round_)
        seen = await person.clicks(RERUN).clicks(RERUN).does("rollbackWorker", {"jobId": job["jobId"]})
        assert seen[1]["message"] == "Roll back 2 files to the baseline and re-run w1?"
        again = await until(lambda: next((one for one in round_.core.state()["jobs"] if one["label"] == "w2"), None))
        assert await round_.ended(again) == ["done"]
        assert (repo / "new.py").read_text() == "new\n"


async def test_a_cancelled_worker_is_rolled_back_after_its_end(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        patch = "*** Begin Patch\n*** Add File: new.py\n+new\n*** End Patch\n"
        job = await round_.write("slow", {"patch": patch}, sh("sleep 60"), report("new.py"))

        def wrote() -> bool:
            (one,) = round_.core.state()["jobs"]
            return bool(one["touchedFiles"])

        await until(wrote)
        person.clicks("Cancel and Roll Back Its Files...").clicks(ROLL_BACK)
        await person.does("cancel", {"jobId": job["jobId"]})
        assert not (repo / "new.py").exists()
        (one,) = round_.core.state()["jobs"]
        assert one["status"] == "cancelled"


async def test_a_new_title_outlives_the_sidecar(repo: Path) -> None:
    async with open_round(repo) as round_:
        job = await round_.write("before", sh("while [ ! -e ../go ]; do sleep 0.02; done"), report())
        async with person_at(round_.core) as person:
            asked, *_ = await person.dismisses("input").does("rename", {"jobId": job["jobId"]})
            assert (asked["title"], asked["value"]) == ('Rename w1 "before"', "before")
            assert round_.core.state()["jobs"][0]["title"] == "before"
            await person.types("  while   running ").does("rename", {"jobId": job["jobId"]})
            assert round_.core.state()["jobs"][0]["title"] == "while running"
        await round_.restart()
        assert round_.core.state()["jobs"][0]["title"] == "while running"
        (repo.parent / "go").touch()
        assert await round_.ended(job) == ["done"]
        async with person_at(round_.core) as person:
            await person.types("after the end").does("rename", {"jobId": job["jobId"]})
            too_long = await person.types("x" * 121).acts("rename", {"jobId": job["jobId"]})
            assert too_long["error"]["data"]["details"]["field"] == "title"
        await round_.restart()
        assert round_.core.state()["jobs"][0]["title"] == "after the end"
        assert (await round_.call("codex_result", jobId=job["jobId"]))["title"] == "after the end"


async def test_a_failed_worker_runs_again_as_it_was(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        steps = json.dumps([report("app.py")])
        prompt = f"try. {MARKER} {steps}"
        job = await round_.call(
            "codex_spawn", prompt=prompt, title="try", sandbox="workspace-write", expectedFiles=["app.py"],
            timeoutMs=300_000, model="m1",
        )  # fmt: skip
        await round_.ended(job)
        (copied,) = await person.does("copyPrompt", {"jobId": job["jobId"]})
        assert copied == {"kind": "clipboard", "text": prompt}
        await person.dismisses("input").does("rerun", {"jobId": job["jobId"]})
        assert len(round_.core.state()["jobs"]) == 1
        (asked,) = await person.accepts_text().does("rerun", {"jobId": job["jobId"]})
        assert (asked["title"], asked["value"]) == ('Re-run w1 "try"', prompt)
        again = await round_.core.manager.job(round_.core.state()["jobs"][1]["jobId"])
        first = await round_.core.manager.job(job["jobId"])
        same = ("title", "sandbox", "model", "expected_files", "timeout_ms", "working_directory", "config")
        assert [getattr(again, name) for name in same] == [getattr(first, name) for name in same]
        await round_.ended({"jobId": again.job_id})


async def test_a_task_of_several_lines_does_not_lose_them(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        prompt = f"try\nthis.\n{MARKER} {json.dumps([report()])}"
        job = await round_.call("codex_spawn", prompt=prompt)
        await round_.ended(job)
        await person.dismisses("pick").does("rerun", {"jobId": job["jobId"]})
        _, shown = await person.picks("Write the task in an editor").does("rerun", {"jobId": job["jobId"]})
        assert (shown["kind"], shown["content"]) == ("untitled", prompt)
        assert len(round_.core.state()["jobs"]) == 1
        await person.picks("Run the same task again").does("rerun", {"jobId": job["jobId"]})
        again = await round_.core.manager.job(round_.core.state()["jobs"][1]["jobId"])
        assert round_.core.manager.store.prompt(again) == prompt
        await round_.ended({"jobId": again.job_id})


async def test_spawning_waiting_and_reading_the_result(repo: Path) -> None:
    (repo / "README.md").write_text("mine\n")
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        steps = [sh("while [ ! -e ../go ]; do sleep 0.02; done"), sh("echo x > new.py"), report("new.py")]
        person.types(f"make it {MARKER} {json.dumps(steps)}").picks("Can edit").picks("Use them as the baseline")
        seen = await person.does("spawn")
        assert seen[2]["title"] == "1 file has uncommitted changes"
        waiting = person.client.start("codexSidecar/act", {"action": "waitAny"})
        person.clicks("Open Result", "toast")
        (repo.parent / "go").touch()
        assert (await person.reply(waiting))["result"] == {}
        told, shown = person.seen[3:]
        assert told["message"].startswith("w1 ")
        assert told["message"].endswith("has ended: done.")
        assert "did it" in await page(person, shown["uri"])
        assert (repo / "new.py").exists()


@pytest.mark.slow
async def test_a_merge_in_the_editor_is_written_when_it_is_finished(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        whole = TEXT.replace("line 4\n", "four by w2\n")
        patch = "*** Begin Patch\n*** Update File: app.py\n@@\n line 3\n-line 4\n+four by w1\n*** End Patch\n"
        one = await round_.write("first", {"patch": patch}, {**report("app.py"), "delay": 1.0})
        two = await round_.write(
            "second", sh("while [ ! -e ../a ]; do sleep 0.02; done"), sh(f"printf '%s' '{whole}' > app.py"),
            report("app.py"),
        )  # fmt: skip

        def first_is_seen() -> bool:
            (job,) = [job for job in round_.core.state()["jobs"] if job["jobId"] == one["jobId"]]
            return [(file["path"], file["attribution"]) for file in job["touchedFiles"]] == [("app.py", "seen")]

        # Two writes between two looks are one version, and on a busy machine a look may come late.
        await until(first_is_seen)
        (repo.parent / "a").touch()
        await round_.ended(one, two)
        (conflict,) = await round_.conflicts()
        await person.types("second name").does("rename", {"jobId": two["jobId"]})
        told = [job["title"] for job in round_.core.state()["conflicts"][0]["jobs"]]
        assert told == ["first", "second name"]
        before = (repo / "app.py").read_text()
        (shown,) = await person.does("merge", {"conflictId": conflict["conflictId"]})
        assert (repo / "app.py").read_text() == before
        assert await page(person, shown["base"]) == TEXT
        texts_shown = [await page(person, side["uri"]) for side in shown["inputs"]]
        assert ["four by w1" in texts_shown[0], "four by w2" in texts_shown[1]] == [True, True]
        merged = TEXT.replace("line 4\n", "four by both\n")
        target = {name: shown[name] for name in ("conflictId", "jobIds", "expectedHash")} | {"text": merged}
        (repo / "app.py").write_text("saved by somebody\n")
        await person.dismisses("toast").does("finishMerge", target)
        assert (repo / "app.py").read_text() == "saved by somebody\n"
        await person.clicks(texts.OVERWRITE, "toast").does("finishMerge", target)
        assert (repo / "app.py").read_text() == merged
        assert await round_.conflicts() == []


async def test_signing_in_is_left_to_codex(repo: Path) -> None:
    async with open_round(repo) as round_, person_at(round_.core, env=round_.caller.client.env) as person:
        (shown,) = await person.does("signIn")
        assert (shown["kind"], shown["cwd"], shown["args"][-1]) == ("terminal", str(repo), "login")
        assert os.access(shown["program"], os.X_OK)
    async with open_round(repo) as round_, person_at(round_.core, env={"PATH": "/nowhere"}) as person:
        reply = await person.acts("signIn")
        assert reply["error"]["data"]["kind"] == "codex-not-found"


async def _demo_sees(person: Person) -> str:
    """What the demo's process finds in its environment: the program that the terminal is to run, told to print it."""
    (shown,) = await person.does("sampleConflict")
    assert (shown["kind"], shown["program"], shown["args"][-1]) == ("terminal", "/bin/sh", "demo")
    _, _, _, *argv = shown["args"]
    prints = "import os; print(os.environ.get('CODEX_SIDECAR_CODEX', ''))"
    argv[argv.index("-m") :] = ["-c", prints]
    bare = {name: value for name, value in os.environ.items() if name != "CODEX_SIDECAR_CODEX"}
    return subprocess.run(argv, env=bare, capture_output=True, text=True, check=True).stdout.strip()


async def test_the_sample_conflict_uses_the_codex_of_the_settings(repo: Path, tmp_path: Path) -> None:
    program = tmp_path / "my codex"
    program.write_text("#!/bin/sh\necho codex-cli 9.9.9\n")
    program.chmod(0o755)
    async with open_round(repo) as round_, person_at(round_.core, env={"PATH": "/bin:/usr/bin"}) as person:
        assert await _demo_sees(person) == ""
        round_.core.settings = msgspec.structs.replace(round_.core.settings, codex=CodexSettings(path=str(program)))
        assert await _demo_sees(person) == f"'{program}'"
        program.unlink()
        assert await _demo_sees(person) == f"'{program}'", "the demo says that there is none"


@pytest.mark.slow
async def test_a_boss_is_shown_before_it_is_written(repo: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home), "CODEX_HOME": str(home / "codex")}
    (home / "codex").mkdir()
    file = home / "codex" / "config.toml"
    async with open_round(repo) as round_, person_at(round_.core, env=env) as person:
        await person.picks("Codex").dismisses("modal").does("installBoss")
        assert not file.exists()
        seen = await person.picks("Codex").clicks(texts.WRITE_IT).dismisses("toast").does("installBoss")
        assert [one["kind"] for one in seen] == ["pick", "modal", "toast"]
        assert seen[1]["message"] == "Make Codex a boss of this sidecar?"
        assert seen[1]["detail"].startswith(f"This entry belongs into {file}; nothing was written.")
        assert "\n\n[mcp_servers.codex-cli-wrapper]\n" in seen[1]["detail"]
        assert seen[2]["message"] == f"Codex is a boss now: {file} has the entry. Start it again to use it."
        assert "codex-cli-wrapper" in file.read_text()
        file.unlink()
        file.mkdir()
        person.picks("Codex").clicks(texts.WRITE_IT)
        reply = await person.acts("installBoss")
        assert "can not be read" in reply["error"]["message"]

"""The extension in a real VS Code, with real Codex workers: watching them in peace, and stopping them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli, report
from tests.support.raw import endpoint, is_alive, wait_until
from tests.support.repo import git
from tests.support.vscode_place import FILES, Place, ended, held, open_place, open_repo, spawn

pytestmark = [pytest.mark.codex, pytest.mark.slow, pytest.mark.timeout(1200)]
MINUTES = 180.0
"""How long a worker may take to get somewhere on a busy machine, in seconds."""
WAIT = 'until [ -e "kept/$1" ]; do sleep 0.1; done\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(tmp_path_factory.mktemp("vscode")) as place:
        yield place


@pytest.fixture
def repo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`sh wait NAME` in it ends once the ignored file `kept/NAME` is there."""
    files = {**FILES, "wait": WAIT, "README.md": "", "src/app.py": FILES["app.py"]}
    files |= {f"{side}{number}.txt": "old\n" for side in "ab" for number in range(10)}
    with open_repo(place, tmp_path, monkeypatch, files) as path:
        (path / "kept").mkdir()
        yield path


def patch(*parts: str) -> str:
    return "*** Begin Patch\n" + "".join(parts) + "*** End Patch\n"


def update(name: str, old: str, new: str) -> str:
    """The part of a patch that replaces one line."""
    return f"*** Update File: {name}\n@@\n-{old}\n+{new}\n"


def patient_service(repo: Path) -> Callable[[], object]:
    """Starts a sidecar that leaves workers ten minutes to stop; returns how to reap it."""
    program = (
        "import runpy, sys; from sidecar.model import limits; limits.GRACE_SECONDS = 600.0; del sys.argv[1]; "
        "runpy.run_module('sidecar.service', run_name='__main__', alter_sys=True)"
    )
    words = ["sidecar.service", "--git-dir", str(repo / ".git"), "--top", str(repo)]
    service = subprocess.Popen([sys.executable, "-c", program, *words], stdin=subprocess.DEVNULL)
    wait_until(lambda: endpoint(repo), "the sidecar listens", MINUTES)
    assert endpoint(repo)["pid"] == service.pid
    return service.wait


def test_a_third_worker_waits_and_cancel_all_names_every_worker(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    first = spawn(repo, "add retries", {"sh": "sh wait one"}, report("did it"))
    spawn(repo, "typed errors", *held("held"))
    spawn(repo, "write the docs", {"sh": "sh wait never"})
    seen = window.play(
        "queue", "queue", texts=["Running (2)", "Queued (1)", "waiting for a write slot (2 of 2 in use)", "1 file"],
        status="Codex: 2 running, 1 queued",
    )  # fmt: skip
    assert seen["status"] == "Codex: 2 running, 1 queued"
    running, one, two, queued, three = seen["rows"]
    assert (running, queued) == ("Running (2)", "Queued (1)")
    assert one.startswith("w1, add retries, running")
    assert two.startswith("w2, typed errors, running")
    assert three == "w3, write the docs, queued, waiting for a write slot (2 of 2 in use)"

    (repo / "kept" / "one").touch()
    ended(repo, first)
    texts = ["Running (2)", "Done (1)", "sh wait never"]
    after = window.play("queue", "queue-next", texts=texts, gone="Queued (1)", status="Codex: 2 running")
    assert [row.split(",")[0] for row in after["rows"]] == ["Running (2)", "w2", "w3", "Done (1)", "w1"]

    asks = {"command": "Codex Sidecar: Cancel All Workers...", "question": "Cancel 2 workers?"}
    text = window.play("question", "cancel-all", **asks, answer="Cancel All")
    assert 'w2 "typed errors": 1 file changed' in text
    assert 'w3 "write the docs"' in text
    assert "Changed files stay as they are" in text
    window.play("queue", "cancelled-all", texts=["Needs attention (1)", "Done (2)"], gone="Running", status="1 needs")
    assert sorted(job["status"] for job in Cli(repo).json("status")["jobs"]) == ["cancelled", "cancelled", "done"]


def test_nothing_disturbs_somebody_who_types(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo), file="README.md")
    for side in "ab":
        files = [f"{side}{number}.txt" for number in range(10)]
        # One command: each patch of a sandboxed Codex may fail on a busy machine, and this is not about patches.
        edits = f"for name in {' '.join(files)}; do sed -i s/old/new/ $name; sleep 0.2; done"
        spawn(repo, f"edit {side}", {"sh": f"sh wait begin; {edits}"}, report("did it", *files))
    seen = window.play(
        "calm", "calm", file="README.md", before="Running (2)", begin=str(repo / "kept" / "begin"), after="Done (2)"
    )
    assert {name: seen[name] for name in ("toasts", "tabs", "items", "progress", "active")} == {
        "toasts": 0, "tabs": 1, "items": 1, "progress": 0, "active": ["README.md"],
    }  # fmt: skip
    assert (repo / "README.md").read_text() == seen["typed"]
    assert len(seen["typed"].split()) >= 20
    assert sorted(row.partition(", ")[0] for row in seen["rows"] if " files" in row) == ["w1", "w2"]
    assert len(git(repo, "diff", "--name-only", "--", "*.txt").split()) == 20


def test_a_transcript_is_followed_at_its_end(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    names = ["one", "two", "three", "four"]
    steps = [{"sh": f"sh wait {name}; seq {100 * at} {100 * at + 80}"} for at, name in enumerate(names, 1)]
    spawn(repo, "print much", *steps)
    waits = [f"Runs: sh wait {name}" for name in names]
    seen = window.play(
        "follow", "followed", row="w1 · print much", go=[str(repo / "kept" / name) for name in names], waits=waits,
        heading="# w1 · print much",
    )  # fmt: skip
    assert (seen["name"], seen["tabs"], seen["preview"]) == ("w1-print-much.md", 1, 1)
    assert seen["stayed"], "the view stays where somebody reads"
    assert seen["refused"]
    assert [text for text in seen["commands"] if "sh wait one; seq 100 180" in text]


def test_the_changes_of_one_worker_are_its_own(place: Place, repo: Path) -> None:
    window = place.window
    window.play("open", "opened", folder=str(repo))
    added = "*** Add File: src/new.py\n+fresh\n"

    def after(word: str) -> dict[str, Any]:
        """Nobody waits in a command: it could be what another's patch is taken for, on a busy machine."""
        return {"until": {"path": str(repo / "kept" / "go"), "holds": word}}

    one = {"patch": patch(update("src/app.py", "line 4", "four by w1"), added)} | after("one")
    two = [{"patch": patch(update("src/app.py", f"line {n}", f"{n} by w2"))} for n in (8, 2)]
    jobs = [
        spawn(repo, "add retries", one, report("did it", "src/app.py", "src/new.py") | after("two")),
        spawn(repo, "typed errors", two[0], two[1] | after("two"), report("did it", "src/app.py")),
    ]

    def is_seen(job: dict[str, Any]) -> bool:
        return "src/app.py" in {one["path"] for one in Cli(repo).json("result", job["jobId"])["touchedFiles"]}

    for go, job in zip(("one", "one two"), reversed(jobs), strict=True):
        wait_until(lambda job=job: is_seen(job), f"the edit of {job['label']} is seen", MINUTES)
        # Its event names the file before the version is recorded; whose patch comes sooner could have made that one.
        Cli(repo).run("conflicts", expect=None)
        (repo / "kept" / "go").write_text(go)
    ended(repo, *jobs)
    assert "2 by w2" in (repo / "src" / "app.py").read_text()
    seen = window.play(
        "changes", "changes", row="w1 · add retries", title="w1 · add retries", lines=["four by w1", "fresh"]
    )
    assert seen["title"] == "w1 · add retries (2 files)"
    assert sorted(seen["headers"]) == ["app.py/src", "new.py/src A"], "and none is shown as renamed"
    assert "by w2" not in seen["text"]


def test_a_worker_that_does_not_stop_is_stopped_by_force(
    place: Place, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Codex starts with the signal ignored, and leaves it so. With the sidecar's own SIGKILL far off it is certain that
    # the click was it.
    note = f'case "$*" in *exec*) echo $$ > {shlex.quote(str(repo / "kept" / "pid"))} ;; esac'
    deaf = f'trap "" TERM; {note}; exec "$0" "$@"'
    monkeypatch.setenv("CODEX_SIDECAR_CODEX", shlex.join(["/bin/sh", "-c", deaf, place.codex["CODEX_SIDECAR_CODEX"]]))
    reap = patient_service(repo)
    edits = patch(update("a0.txt", "old", "new"), update("a1.txt", "old", "new"))
    # Before the window is there: the Codex of its settings would be taken.
    job = spawn(repo, "stubborn one", {"patch": edits}, {**report("did it"), "delay": 600})
    window = place.window
    texts = ["Running (1)", "2 files"]
    window.play("queue", "force-running", folder=str(repo), texts=texts, status="1 running")
    pid = int((repo / "kept" / "pid").read_text())
    assert is_alive(pid)
    seen = window.play(
        "force", "forced", row="w1 · stubborn one", question='Cancel w1 "stubborn one"?',
        stopped="cancelled, 2 files changed",
    )  # fmt: skip
    assert seen["label"] == "w1, stubborn one, stopping, 2 files"
    assert seen["early"] == 0, "it is offered only once it is needed"
    assert not is_alive(pid)
    assert Cli(repo).json("result", job["jobId"], expect=1)["status"] == "cancelled"
    assert "Re-run Worker..." in seen["entries"]
    Cli(repo).close()
    reap()

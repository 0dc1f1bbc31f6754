"""Operations of the plumbing in processes that are killed.

`python -m tests.support.git_trial` reads one JSON object a line.
`{"op": …, "top": …, …}` forks a process for the operation and prints its pid; `{"wait": pid}` prints how it ended.
Forking from a process that has imported everything lets a kill hit the operation, not Python's start.

Optional for every operation: `crash`: kill itself right before the so-many-th call that changes the file system;
`moves`: count only the moves of a swap for that; `plain`: the system has no renameat2;
`count`: write the number of such calls to that file.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import git as _git  # noqa: F401  (imported before the fork, so that no operation pays for it)

from sidecar.git import renaming
from sidecar.git.commits import Entry
from sidecar.git.journal import Target
from tests.support.tree import Bench, bench

CHANGING = ("rename", "replace", "link", "unlink", "symlink", "mkdir", "rmdir", "fsync", "chmod", "fchmod")


def operate(request: dict[str, Any]) -> None:
    """One operation, in the process that may be killed."""
    it: Bench = bench(Path(request["top"]))
    op = request["op"]
    if op in ("snapshot", "stash", "refuse"):
        it.baselines.record(request["run"], op)
    elif op == "rollback":
        it.repairs.rollback(it.baselines.load(request["run"]), request["paths"], reason="trial")
    elif op == "restore":
        it.repairs.restore(request["snapshot"], reason="trial", index=request.get("index", False))
    elif op == "merge":
        versions = [{request["path"]: Entry("100644", oid)} for oid in request["versions"]]
        merged = it.merges.merge_versions(versions[0], versions[1:], ["w1", "w2"]).files[request["path"]].entry
        assert merged is not None
        it.repairs.apply({request["path"]: Target("file", merged.oid, 0o644)}, reason="trial")
    elif op == "recover":
        it.repairs.recover()
    elif op == "empty":
        it.repairs.empty_trash()
    else:
        raise ValueError(op)


def arm(request: dict[str, Any]) -> None:
    """Prepares the crash, the count, and a system that cannot exchange."""
    if request.get("plain"):
        renaming._renameat2 = None
    calls = itertools.count(1)
    last = {"number": 0}

    def watch(function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            last["number"] = number = next(calls)
            if number == request.get("crash"):
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return watched

    if "crash" not in request and "count" not in request:
        return
    for name in () if request.get("moves") else CHANGING:
        setattr(os, name, watch(getattr(os, name)))
    if renaming._renameat2 is not None:
        renaming._renameat2 = watch(renaming._renameat2)
    if "count" in request:
        operate(request)
        Path(request["count"]).write_text(str(last["number"]))
        os._exit(0)


def child(request: dict[str, Any]) -> None:
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        arm(request)
        operate(request)
        code = 0
    except BaseException as exc:  # noqa: BLE001
        print(f"{request['op']}: {exc!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            try:
                _, status = os.waitpid(request["wait"], 0)
                print(os.waitstatus_to_exitcode(status), flush=True)
            except ChildProcessError:
                print("gone", flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            child(request)
        print(pid, flush=True)


if __name__ == "__main__":
    main()

"""A repository whose configuration is an attack: nothing of it runs, and a person's own filters still do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.git import clean
from sidecar.git.changes import changed_paths
from sidecar.git.commits import Entry
from sidecar.git.journal import Target
from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.tree import append, bench, picture, write

ATTRIBUTES = "*.txt filter=evil diff=evil merge=evil\n*.bin filter=smooth\n"


class Trap:
    """A program that notes each time it is run, and the configuration keys that name it."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "trap.log"
        self.program = directory / "trap.sh"
        self.program.write_text(f'#!/bin/sh\necho "$0 $*" >> {self.log}\nexec cat\n')
        self.program.chmod(0o755)

    def sprung(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def config(self, name: str = "evil") -> str:
        at = self.program
        return f"""
[core]
    fsmonitor = {at} fsmonitor
    hooksPath = {at.parent}/hooks
    sshCommand = {at} ssh
    editor = {at} editor
    pager = {at} pager
    askPass = {at} askpass
    alternateRefsCommand = {at} refs
    gitProxy = {at} proxy
[filter "{name}"]
    clean = {at} clean
    smudge = {at} smudge
    process = {at} process
    required = true
[diff]
    external = {at} external
[diff "{name}"]
    command = {at} diff-command
    textconv = {at} textconv
[merge "{name}"]
    driver = {at} merge-driver %A %O %B
[merge]
    default = {name}
[gpg]
    program = {at} gpg
[commit]
    gpgSign = true
[tag]
    gpgSign = true
[credential]
    helper = !{at} credential
[alias]
    status = !{at} alias-status
    ls-files = !{at} alias-ls-files
    hash-object = !{at} alias-hash-object
[uploadpack]
    packObjectsHook = {at} pack
[remote "origin"]
    url = ext::{at} remote
    uploadpack = {at} uploadpack
    promisor = true
    partialCloneFilter = blob:none
[extensions]
    partialClone = origin
[core]
    repositoryFormatVersion = 1
"""


def by_config(top: Path, trap: Trap) -> None:
    with open(top / ".git/config", "a", encoding="utf-8") as file:
        file.write(trap.config())


def by_include(top: Path, trap: Trap) -> None:
    write(top, ".git/more", trap.config())
    git(top, "config", "include.path", "more")


def by_conditional_include(top: Path, trap: Trap) -> None:
    write(top, ".git/more", trap.config())
    git(top, "config", f"includeIf.gitdir:{top}/.path", "more")


def by_worktree_config(top: Path, trap: Trap) -> None:
    git(top, "config", "extensions.worktreeConfig", "true")
    write(top, ".git/config.worktree", trap.config())


HOOKS = (
    "post-index-change", "reference-transaction", "pre-commit", "post-commit", "commit-msg", "post-checkout",
    "post-rewrite", "pre-auto-gc", "fsmonitor-watchman", "post-merge",
)  # fmt: skip
WAYS = [by_config, by_include, by_conditional_include, by_worktree_config]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_of_a_hostile_configuration_runs(way: Callable[[Path, Trap], None], tmp_path: Path) -> None:
    trap = Trap(tmp_path)
    lines = "".join(f"line {number}\n" for number in range(30))
    top = make_repo(tmp_path / "repo", {"a.txt": lines, "b.txt": lines, "d/c.txt": lines, "x.bin": "x\n"})
    write(top, ".gitattributes", ATTRIBUTES)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "attributes")
    for name in HOOKS:
        for place in (tmp_path / "hooks", top / ".git/hooks"):
            write(place, name, trap.program.read_text(), 0o755)
    append(top, "b.txt", "a person's\n")
    way(top, trap)
    it = bench(top)

    it.repository.head()
    it.repository.dirty_paths()
    baseline = it.baselines.record("run-1", "snapshot")
    append(top, "a.txt", "a worker's\n")
    os.rename(top / "d/c.txt", top / "d/moved.txt")
    write(top, "d/new.txt", "new\n")
    touched = ["a.txt", "d/c.txt", "d/moved.txt", "d/new.txt", "x.bin"]
    os.utime(top / "x.bin")
    assert {change.path for change in changed_paths(it.repository, it.state, baseline, it.baselines)} == {
        "a.txt", "d/moved.txt", "d/new.txt",
    }  # fmt: skip
    it.snapshots.capture("whole")
    done = it.repairs.rollback(baseline, touched, reason="back")
    assert done.snapshot is not None
    it.repairs.restore(done.snapshot.id, reason="undo")
    before = picture(top)
    put_aside = it.baselines.record("run-2", "stash")
    assert put_aside.snapshot_id is not None
    it.repairs.restore(put_aside.snapshot_id, reason="bring back", index=True)
    assert picture(top) == before
    text = baseline.tree
    held = it.baselines.held(baseline, ["a.txt", "b.txt"])
    base = Entry("100644", held["a.txt"].oid)
    sides = [
        {"a.txt": Entry("100644", git_blob(top, lines.replace(f"line {number}\n", f"changed {number}\n")))}
        for number in (2, 25)
    ]
    merged = it.merges.merge_versions({"a.txt": base}, sides, ["w1", "w2"])
    assert merged.clean
    assert merged.files["a.txt"].entry is not None
    it.merges.hunks([(base.oid, merged.files["a.txt"].entry.oid)])
    it.merges.merge_file(b"a\n", b"b\n", b"c\n")
    it.repairs.apply({"a.txt": Target("file", merged.files["a.txt"].entry.oid, 0o644)}, reason="merge")
    it.snapshots.all()
    it.snapshots.expire(0, now=4e9)
    it.repairs.recover()
    it.repairs.empty_trash()
    it.baselines.drop(it.baselines.load("run-1"))
    assert trap.sprung() == "", text


def git_blob(top: Path, text: str) -> str:
    write(top.parent, "content", text)
    return git(top, "hash-object", "-w", "--no-filters", str(top.parent / "content")).strip()


def test_the_trap_springs_for_git_itself(tmp_path: Path) -> None:
    """Otherwise the test above would show nothing."""
    trap = Trap(tmp_path)
    top = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
    write(top, ".gitattributes", ATTRIBUTES)
    by_include(top, trap)
    append(top, "a.txt", "b\n")
    git(top, "status")
    assert "fsmonitor" in trap.sprung()


def test_a_hostile_submodule_is_not_entered(tmp_path: Path) -> None:
    trap = Trap(tmp_path)
    top = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
    inner = make_repo(top / "sub", {"inner.txt": "inner\n"})
    write(inner, ".gitattributes", "*.txt filter=evil\n")
    git(top, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    git(top, "commit", "-qm", "a submodule")
    with open(inner / ".git/config", "a", encoding="utf-8") as file:
        file.write(trap.config())
    write(inner, "inner.txt", "other\n")
    os.utime(inner / "inner.txt", (1, 1))
    it = bench(top)
    assert it.repository.dirty_paths() == []
    baseline = it.baselines.record("run-1", "refuse")
    append(top, "a.txt", "b\n")
    assert [change.path for change in changed_paths(it.repository, it.state, baseline, it.baselines)] == ["a.txt"]
    done = it.repairs.rollback(baseline, ["a.txt", "sub", "sub/inner.txt"], reason="back")
    assert done.changed == ("a.txt",)
    assert set(done.kept) == {"sub", "sub/inner.txt"}
    assert trap.sprung() == ""
    assert (inner / "inner.txt").read_text() == "other\n"


@pytest.mark.parametrize("bounded", [False, True], ids=["kept exactly", "made by the filter"])
def test_a_filter_that_a_person_configured_works_on(
    bounded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like Git LFS: a pointer is committed, the work tree has the content; the repository tries to say otherwise."""
    trap = Trap(tmp_path)
    config = tmp_path / "gitconfig"
    config.write_text(
        '[filter "smooth"]\n clean = "sed s/content/pointer/"\n smudge = "sed s/pointer/content/"\n required = true\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    if bounded:
        monkeypatch.setattr(clean, "CONVERTED_FILES", 0)
    top = make_repo(
        tmp_path / "repo", {".gitattributes": "*.bin filter=smooth\n", "x.bin": "the content\n", "y": "y\n"}
    )
    assert git(top, "show", "HEAD:x.bin") == "the pointer\n"
    (top / "x.bin").chmod(0o640)
    with open(top / ".git/config", "a", encoding="utf-8") as file:
        file.write(trap.config("smooth").replace("process =", "unknown ="))
    it = bench(top)
    baseline = it.baselines.record("run-1", "refuse")
    held = it.baselines.held(baseline, ["x.bin"])["x.bin"]
    assert held.exact is not bounded
    os.utime(top / "x.bin", (1, 1))
    assert changed_paths(it.repository, it.state, baseline, it.baselines) == []
    write(top, "x.bin", "a worker's\n")
    write(top, ".gitattributes", "nothing any more\n")
    done = it.repairs.rollback(baseline, ["x.bin", ".gitattributes"], reason="back")
    assert done.changed == (".gitattributes", "x.bin")
    assert (top / "x.bin").read_text() == "the content\n"
    assert (top / "x.bin").stat().st_mode & 0o777 == 0o640
    append(top, "x.bin", "more content\n")
    put_aside = it.baselines.record("run-2", "stash")
    assert (top / "x.bin").read_text() == "the content\n"
    assert put_aside.snapshot_id is not None
    it.repairs.restore(put_aside.snapshot_id, reason="bring back")
    assert (top / "x.bin").read_text() == "the content\nmore content\n"
    assert trap.sprung() == ""


def test_a_filter_that_the_repository_spoils_runs_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can unset a `process`, so the person's `clean` cannot run either; the bytes are as exact as ever."""
    trap = Trap(tmp_path)
    config = tmp_path / "gitconfig"
    config.write_text('[filter "smooth"]\n clean = "sed s/content/pointer/"\n required = true\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    top = make_repo(tmp_path / "repo", {".gitattributes": "*.bin filter=smooth\n", "x.bin": "the content\n"})
    with open(top / ".git/config", "a", encoding="utf-8") as file:
        file.write(trap.config("smooth"))
    it = bench(top)
    baseline = it.baselines.record("run-1", "snapshot")
    write(top, "x.bin", "a worker's\n")
    it.repairs.rollback(baseline, ["x.bin"], reason="back")
    assert (top / "x.bin").read_text() == "the content\n"
    assert trap.sprung() == ""


def test_a_work_tree_setting_that_leads_elsewhere_has_no_say(tmp_path: Path) -> None:
    top = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
    victim = tmp_path / "victim"
    write(victim, "a.txt", "the victim's\n")
    write(victim, "b.txt", "the victim's\n")
    git(top, "config", "core.worktree", str(victim))
    it = bench(top)
    assert it.repository.dirty_paths() == []
    append(top, "a.txt", "uncommitted\n")
    before = picture(victim)
    it.baselines.record("run-1", "stash")
    assert (top / "a.txt").read_text() == "a\n"
    assert picture(victim) == before


def test_nothing_is_fetched_for_a_missing_object(tmp_path: Path) -> None:
    trap = Trap(tmp_path)
    top = make_repo(tmp_path / "repo", {"a.txt": "a\n"})
    by_config(top, trap)
    it = bench(top)
    with pytest.raises(SidecarError) as caught:
        it.repairs.apply({"a.txt": Target("file", "ab" * 20, 0o644)}, reason="missing")
    assert caught.value.kind == "state-unavailable"
    assert (top / "a.txt").read_text() == "a\n"
    assert trap.sprung() == ""

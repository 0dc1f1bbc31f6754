"""Finding the work tree without git gives what git gives."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sidecar.model.errors import SidecarError
from sidecar.service.link import version_key
from sidecar.service.place import directory_id, find_place, prepare_state_dir
from tests.support.repo import git, make_repo


def git_says(directory: Path) -> tuple[str, str] | None:
    done = subprocess.run(
        ["git", "-C", str(directory), "rev-parse", "--show-toplevel", "--absolute-git-dir"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return None
    top, git_dir = done.stdout.splitlines()
    return top, git_dir


def check(directory: Path, expected: tuple[Path, Path] | None) -> None:
    """`expected` is written out by each test; git is asked as well, so the expectation itself is right."""
    place = find_place(str(directory))
    found = (place.top, place.git_dir) if place else None
    assert found == git_says(directory)
    assert found == (tuple(map(str, expected)) if expected else None)


def test_top_level_and_a_directory_below(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r", {"a/b/c.txt": "x"})
    check(repo, (repo, repo / ".git"))
    check(repo / "a" / "b", (repo, repo / ".git"))


def test_a_symbolic_link_leads_to_the_real_path(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r", {"a/b.txt": "x"})
    (tmp_path / "link").symlink_to(repo / "a")
    check(tmp_path / "link", (repo, repo / ".git"))


def test_a_linked_work_tree_has_its_own_git_directory(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    git(repo, "worktree", "add", "-q", str(tmp_path / "w"))
    check(tmp_path / "w", (tmp_path / "w", repo / ".git" / "worktrees" / "w"))


def test_a_submodule_has_its_own_git_directory(tmp_path: Path) -> None:
    inner, outer = make_repo(tmp_path / "inner"), make_repo(tmp_path / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    check(outer / "sub", (outer / "sub", outer / ".git" / "modules" / "sub"))


def test_a_relative_gitdir_file(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    (repo / ".git").rename(tmp_path / "elsewhere")
    (repo / ".git").write_text("gitdir: ../elsewhere\n")
    check(repo, (repo, tmp_path / "elsewhere"))


@pytest.mark.parametrize("inside", [".", "refs/heads"])
def test_nothing_in_a_bare_repository(tmp_path: Path, inside: str) -> None:
    git(tmp_path, "init", "-q", "--bare", "b.git")
    check(tmp_path / "b.git" / inside, None)


def test_nothing_inside_the_git_directory(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    check(repo / ".git", None)
    check(repo / ".git" / "refs", None)


def test_a_bare_repository_with_linked_work_trees(tmp_path: Path) -> None:
    make_repo(tmp_path / "origin")
    home = tmp_path / "home"
    home.mkdir()
    git(home, "clone", "-q", "--bare", str(tmp_path / "origin"), ".bare")
    (home / ".git").write_text("gitdir: ./.bare\n")
    git(home, "worktree", "add", "-q", "main")
    check(home, None)
    check(home / "main", (home / "main", home / ".bare" / "worktrees" / "main"))


def test_a_gitdir_file_that_leads_nowhere_hides_the_repository_above(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    (repo / "sub").mkdir()
    (repo / "sub" / ".git").write_text("gitdir: ../.git/modules/gone\n")
    check(repo / "sub", None)


def test_an_empty_git_directory_is_passed_over(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    (repo / "sub" / ".git").mkdir(parents=True)
    check(repo / "sub", (repo, repo / ".git"))


def test_outside(tmp_path: Path) -> None:
    check(tmp_path, None)


def test_ceilings_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = make_repo(tmp_path / "r", {"a/b/c.txt": "x"})
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repo / "a"))
    check(repo / "a", (repo, repo / ".git"))
    check(repo / "a" / "b", None)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repo))
    check(repo / "a" / "b", None)


def test_the_environment_of_a_git_hook_does_not_lead_astray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo, other = make_repo(tmp_path / "r"), make_repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    place = find_place(str(repo))
    assert place is not None
    assert place.git_dir == str(repo / ".git")


def test_the_state_directory_is_private_also_where_it_was_not(tmp_path: Path) -> None:
    place = find_place(str(make_repo(tmp_path / "r")))
    assert place is not None
    os.mkdir(place.state_dir, 0o755)
    os.chmod(place.state_dir, 0o755)
    prepare_state_dir(place)
    assert os.stat(place.state_dir).st_mode & 0o777 == 0o700


def test_a_git_directory_that_is_gone_is_state_unavailable(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    place = find_place(str(repo))
    assert place is not None
    (repo / ".git").rename(tmp_path / "gone")
    with pytest.raises(SidecarError) as caught:
        prepare_state_dir(place)
    assert caught.value.kind == "state-unavailable"
    assert place.state_dir in caught.value.message
    assert caught.value.hint


def test_a_moved_directory_keeps_its_id_and_a_copy_has_another(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    before = directory_id(str(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    assert directory_id(str(tmp_path / "b")) == before
    assert directory_id(str(tmp_path / "a")) != before


def test_versions_are_ordered_by_number_then_text() -> None:
    rising = [
        "0.1.0.dev3",
        "0.1.0rc1",
        "0.1.0",
        "0.1.0.post1",
        "0.1.1",
        "0.2",
        "0.10.0",
        "1.0.0a1",
        "1.0.0",
        "1.0.0+local",
    ]
    assert sorted(reversed(rising), key=version_key) == rising
    assert version_key("0.1") == version_key("0.1.0")
    assert version_key("") < version_key("0.0.1")

"""Work trees with everything that breaks careless tools, and pictures of them that are compared byte for byte."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sidecar.git.baseline import Baselines
from sidecar.git.merge import Merges
from sidecar.git.objects import Objects
from sidecar.git.repair import Repairs
from sidecar.git.repository import Repository
from sidecar.git.snapshot import Snapshots
from tests.support.repo import git, make_repo

ODD_NAMES = (
    "new\nline.txt",
    " leading and trailing ",
    "-n",
    "--",
    "ünïcödé.txt",
    "quo\"te'$x",
    "back\\slash",
    "tab\t.c",
    ":(top)x",
)


class Bench(NamedTuple):
    """A repository with the plumbing on it."""

    top: Path
    repository: Repository
    state: Path
    snapshots: Snapshots
    baselines: Baselines
    repairs: Repairs
    merges: Merges
    objects: Objects


def bench(top: Path) -> Bench:
    """The plumbing as the sidecar wires it, on an existing repository."""
    git_dir = Path(git(top, "rev-parse", "--absolute-git-dir").strip())
    repository, state = Repository(top, git_dir), git_dir / "codex-sidecar"
    baselines = Baselines(repository, state)
    return Bench(
        top, repository, state, Snapshots(repository, state), baselines,
        Repairs(repository, state, baselines), Merges(repository, state),
        Objects(repository, state),
    )  # fmt: skip


Picture = dict[bytes, tuple[object, ...]]


def picture(top: Path, *, without: Iterable[str] = (".git",)) -> Picture:
    """Everything in a tree: kind, permissions and bytes of each path; directories too. Nested repositories included.

    Args:
        without: names at the top that are left out.
    """
    found: Picture = {}
    root = os.fsencode(top)
    left_out = {os.fsencode(name) for name in without}

    def look(directory: bytes, prefix: bytes) -> None:
        for name in sorted(os.listdir(directory)):
            if not prefix and name in left_out:
                continue
            path, key = directory + b"/" + name, prefix + name
            status = os.lstat(path)
            bits = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                found[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(status.st_mode):
                found[key] = ("directory", bits)
                if os.access(path, os.R_OK | os.X_OK):
                    look(path, key + b"/")
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    found[key] = ("file", bits, file.read())
            else:
                found[key] = ("other", stat.S_IFMT(status.st_mode), bits)

    look(root, b"")
    return found


def files_of(shot: Picture) -> Picture:
    """The picture without its directories."""
    return {path: what for path, what in shot.items() if what[0] != "directory"}


def index_bytes(top: Path) -> bytes | None:
    """The bytes of the index, None where there is none."""
    path = Path(git(top, "rev-parse", "--absolute-git-dir").strip()) / "index"
    return path.read_bytes() if path.exists() else None


def blob_id(data: bytes) -> str:
    """The object id of a content, computed without git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def kept_blobs(top: Path) -> set[str]:
    """All objects that the sidecar's refs keep alive; each is really there."""
    listed = git(top, "rev-list", "--objects", "--no-object-names", "--glob=refs/codex-sidecar/")
    checked = subprocess.run(
        ["git", "-C", str(top), "cat-file", "--batch-check=%(objectname)"],
        input=listed, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert checked == listed.splitlines()
    return set(checked)


def lost(before: Picture, now: Picture, kept: set[str]) -> list[bytes]:
    """Paths of `before` whose content is neither in the tree `now` nor kept."""
    contents = {what[-1] for what in now.values() if what[0] in ("file", "link")}
    return [
        path
        for path, what in before.items()
        if what[0] in ("file", "link")
        and what[-1] not in contents
        and blob_id(what[-1] if isinstance(what[-1], bytes) else b"") not in kept
    ]


def refs_of(top: Path) -> str:
    """Every ref but the sidecar's own, HEAD, and the stash."""
    lines = git(top, "for-each-ref").splitlines()
    theirs = [line for line in lines if "refs/codex-sidecar/" not in line]
    head = (Path(git(top, "rev-parse", "--absolute-git-dir").strip()) / "HEAD").read_text()
    return "\n".join([*theirs, head])


def write(top: Path, path: str, text: str | bytes, mode: int | None = None) -> None:
    """Writes a file, with the directories above it."""
    target = top / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
    if mode is not None:
        target.chmod(mode)


def nested_repository(path: Path) -> None:
    """A repository of its own with a commit and a change."""
    make_repo(path, {"inner.txt": "inner\n"})
    write(path, "inner.txt", "changed inside\n")


def nasty_repo(top: Path, *, merging: bool = True) -> Path:
    """A repository in the middle of a person's work: staged, unstaged, untracked, ignored, odd names, odd modes.

    Args:
        merging: with a merge conflict in progress.
    """
    files = {f"src/m{number}.py": f"def f{number}():\n    return {number}\n" * 20 for number in range(12)}
    make_repo(top, {"README.md": "hello\n" * 10, ".gitignore": "*.o\nbuild/\n.env\n", **files})
    write(top, "mixed.txt", b"unix\nwindows\r\nunix\n")
    write(top, "secret.key", "tracked and private\n", 0o600)
    write(top, "tool.sh", "#!/bin/sh\n", 0o755)
    os.symlink("README.md", top / "link")
    for name in ODD_NAMES:
        write(top, f"odd/{name}", f"odd {name}\n")
    with open(os.fsencode(top) + b"/odd/latin-\xe9\xff", "wb") as file:
        file.write(b"not UTF-8\n")
    git(top, "-c", "core.autocrlf=false", "add", "-A")
    git(top, "commit", "-q", "-m", "everything")
    git(top, "config", "core.autocrlf", "input")
    git(top, "config", "core.safecrlf", "false")
    if merging:
        git(top, "checkout", "-q", "-b", "other")
        write(top, "src/m0.py", "theirs\n")
        git(top, "commit", "-q", "-am", "theirs")
        git(top, "checkout", "-q", "main")
        write(top, "src/m0.py", "ours\n")
        git(top, "commit", "-q", "-am", "ours")
        subprocess.run(["git", "-C", str(top), "merge", "-q", "other"], capture_output=True)
    write(top, "src/m1.py", "staged\n")
    git(top, "add", "src/m1.py")
    write(top, "src/m1.py", "staged, then changed again\n")
    write(top, "src/m2.py", "changed\r\nwith both\nkinds of ends\r\n")
    (top / "src/m3.py").unlink()
    git(top, "rm", "-q", "--cached", "src/m4.py")
    write(top, "untracked/deep/er/file.txt", "untracked\n", 0o640)
    write(top, "untracked/private", "untracked, private\n", 0o600)
    write(top, "intended.txt", "intent to add\n")
    git(top, "add", "-N", "intended.txt")
    write(top, "build/out.o", "ignored\n")
    write(top, ".env", "SECRET=ignored\n", 0o600)
    (top / "empty").mkdir()
    os.symlink("/nowhere", top / "dangling")
    os.mkfifo(top / "pipe")
    nested_repository(top / "nested")
    return top


def work_of_workers(top: Path) -> list[str]:
    """What two workers might do on `nasty_repo`; every path that they touched."""
    append(top, "src/m5.py", "w1\n")
    append(top, "src/m1.py", "w1 on a person's edit\n")
    write(top, "src/m6.py", "w2 wrote it anew\n")
    (top / "src/m7.py").unlink()
    os.rename(top / "src/m8.py", top / "src/moved.py")
    write(top, "fresh/by/w1.py", "new\n", 0o755)
    write(top, "secret.key", "leaked\n", 0o644)
    os.chmod(top / "tool.sh", 0o644)
    (top / "link").unlink()
    os.symlink("src/m5.py", top / "link")
    append(top, "odd/new\nline.txt", "w2\n")
    with open(os.fsencode(top) + b"/odd/latin-\xe9\xff", "ab") as file:
        file.write(b"w2 \xfe\n")
    append(top, "mixed.txt", "w1\r\n")
    append(top, "untracked/private", "w2\n")
    (top / "README.md").unlink()
    write(top, "README.md/now/a/directory", "w1\n")
    return [
        "src/m5.py", "src/m1.py", "src/m6.py", "src/m7.py", "src/m8.py", "src/moved.py", "fresh/by/w1.py", "secret.key",
        "tool.sh", "link", "odd/new\nline.txt", os.fsdecode(b"odd/latin-\xe9\xff"), "mixed.txt", "untracked/private",
        "README.md", "README.md/now/a/directory",
    ]  # fmt: skip


def append(top: Path, path: str, text: str) -> None:
    """Appends to a file in place."""
    with open(top / path, "ab") as file:
        file.write(text.encode())

"""Trees, commits and refs of our own. No other ref than those under `refs/codex-sidecar/` is ever written."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sidecar.git.blobs import check_oid
from sidecar.git.plumbing import Git, argument_groups
from sidecar.model.errors import SidecarError

PREFIX = "refs/codex-sidecar/"
NAME = "Codex Sidecar"
EMAIL = "codex-sidecar@localhost"
FILE, EXECUTABLE, LINK, SUBMODULE, DIRECTORY = "100644", "100755", "120000", "160000", "040000"

_REF = re.compile(r"refs/codex-sidecar/[a-z]+/[A-Za-z0-9][A-Za-z0-9_-]{0,119}\Z")


class Pruned(SidecarError):
    """What was stored a moment ago is gone: somebody prunes the repository at this very time."""

    def __init__(self) -> None:
        super().__init__("busy", "The repository is being pruned.", "Try again when git is at rest.")


class Entry(NamedTuple):
    """What a tree holds under a name: mode as six octal digits, and the object id."""

    mode: str
    oid: str


def write_tree(git: Git, files: Mapping[str, Entry], *, checked: bool = True) -> str:
    """Writes the trees that hold `files` by one process; the id of the root.

    Args:
        files: by path; an entry of mode `DIRECTORY` hangs a whole tree in.
        checked: whether git looks that every object is there.

    Raises:
        SidecarError: `invalid-arguments` where a path is a file and a directory at once.
    """
    if not files:
        return git.text("hash-object", "-w", "-t", "tree", "--stdin", stdin=b"")
    root: dict[bytes, object] = {}
    for path, entry in files.items():
        *above, name = os.fsencode(path).split(b"/")
        here = root
        for part in above:
            deeper = here.setdefault(part, {})
            if not isinstance(deeper, dict):
                raise _both(path)
            here = deeper
        if here.setdefault(name, entry) is not entry:
            raise _both(path)
    records: list[bytes] = []
    digest = hashlib.sha1 if len(next(iter(files.values())).oid) == 40 else hashlib.sha256

    def add(names: dict[bytes, object]) -> str:
        lines: list[tuple[bytes, bytes, bytes]] = []
        for name, value in names.items():
            entry = Entry(DIRECTORY, add(value)) if isinstance(value, dict) else value
            assert isinstance(entry, Entry)
            kind = {DIRECTORY: "tree", SUBMODULE: "commit"}.get(entry.mode, "blob")
            line = f"{entry.mode} {kind} {entry.oid}\t".encode() + name + b"\0"
            raw = entry.mode.lstrip("0").encode() + b" " + name + b"\0" + bytes.fromhex(entry.oid)
            # git sorts a directory as if its name ended in a slash.
            lines.append((name + b"/" if entry.mode == DIRECTORY else name, line, raw))
        lines.sort()
        records.append(b"".join(line for _, line, _ in lines) + b"\0")
        body = b"".join(raw for _, _, raw in lines)
        return digest(b"tree %d\0" % len(body) + body).hexdigest()

    oid = add(root)
    options = ("-z", "--batch") if checked else ("-z", "--batch", "--missing")
    written = git.run("mktree", *options, stdin=b"".join(records)).decode().split()
    if written[-1:] != [oid]:
        raise SidecarError("internal", "git wrote another tree than it was told.")
    return oid


def _both(path: str) -> SidecarError:
    return SidecarError("invalid-arguments", f"{os.fsencode(path)!r} would be a file and a directory at once.")


def tree_entries(git: Git, tree: str, paths: Iterable[str] | None = None) -> dict[str, Entry]:
    """What a tree holds at `paths` (those that are there), or all its files."""
    if paths is None:
        records = git.records("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", check_oid(tree))
    else:
        records = [
            record
            for group in argument_groups(paths)
            for record in git.records("ls-tree", "-z", "--full-tree", "--end-of-options", check_oid(tree), "--", *group)
        ]
    entries: dict[str, Entry] = {}
    for record in records:
        about, _, path = record.partition(b"\t")
        mode, _, oid = about.decode().split()
        entries[os.fsdecode(path)] = Entry(mode, oid)
    return entries


def commit(git: Git, tree: str, parents: Sequence[str], message: str) -> str:
    """A commit by the sidecar itself, never in a person's name, never signed; its id.

    Raises:
        Pruned: the tree is gone again.
    """
    date = f"@{int(time.time())} +0000"
    env = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", NAME), ("EMAIL", EMAIL), ("DATE", date))
    }
    options = [word for parent in parents for word in ("-p", check_oid(parent))]
    words = (*options, "-F", "-", check_oid(tree))
    status, out, err = git.attempt("commit-tree", *words, stdin=message.encode(), env=env)
    if status != 0:
        if "not a valid object" in err:
            raise Pruned
        raise SidecarError("state-unavailable", f"git cannot commit: {err.strip()}", "Run `git fsck` there.")
    return out.decode().strip()


def check_ref(ref: str) -> str:
    """A ref that is ours to write; returned as it is.

    Raises:
        SidecarError: `invalid-arguments`.
    """
    if not _REF.match(ref) or ref.endswith(".lock"):
        raise SidecarError("invalid-arguments", f"{ref[:120]!r} is no ref of the sidecar's.")
    return ref


def set_ref(git: Git, ref: str, new: str, old: str | None) -> bool:
    """Points `ref` at `new` if it points at `old` now (None: if it does not exist); False: it does not."""
    zero = "0" * len(check_oid(new))
    line = f"update {check_ref(ref)}\0{new}\0{check_oid(old) if old else zero}\0".encode()
    status, _, err = git.attempt("update-ref", "--no-deref", "-z", "--stdin", stdin=line)
    if status != 0 and "reference already exists" not in err and "but expected" not in err:
        raise SidecarError("state-unavailable", f"git cannot write {ref}: {err.strip()}", "Run `git fsck` there.")
    return status == 0


def delete_refs(git: Git, refs: Mapping[str, str]) -> None:
    """Deletes refs of ours in one transaction, each only if it still points at the object given with it."""
    lines = b"".join(f"delete {check_ref(ref)}\0{check_oid(oid)}\0".encode() for ref, oid in refs.items())
    if lines:
        git.run("update-ref", "--no-deref", "-z", "--stdin", stdin=lines)


class Ref(NamedTuple):
    """A ref of ours with its commit and the body of that commit's message."""

    name: str
    commit: str
    body: str


def list_refs(git: Git, kind: str) -> list[Ref]:
    """All refs `refs/codex-sidecar/<kind>/…`, sorted by name."""
    out = git.run(
        "for-each-ref", "--format=%(refname)%00%(objectname)%00%(contents:body)%00", f"{PREFIX}{kind}/"
    ).decode("utf-8", "replace")
    fields = [field.lstrip("\n") for field in out.split("\0")]
    return [Ref(*triple) for triple in zip(fields[0::3], fields[1::3], fields[2::3], strict=False)]


def resolve_ref(git: Git, ref: str) -> str | None:
    """The commit that a ref of ours points at."""
    status, out, _ = git.attempt("rev-parse", "--verify", "--quiet", "--end-of-options", f"{check_ref(ref)}^{{commit}}")
    return out.decode().strip() if status == 0 else None

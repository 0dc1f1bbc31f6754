"""One look at a whole work tree for a baseline: what is uncommitted, and what git's objects do not say of the rest."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from sidecar.git.blobs import LARGE_BYTES, Stored, store_paths
from sidecar.git.listing import list_changes
from sidecar.git.manifest import Manifest, directory_modes, tree_mode
from sidecar.git.plumbing import Git
from sidecar.git.repository import Repository
from sidecar.git.state import Work

CONVERTED_FILES = 256
CONVERTED_BYTES = 32 * 1024 * 1024
"""How many files whose bytes on the disk differ from the committed ones are kept; the others can be made anew."""


class Survey(NamedTuple):
    """What was found."""

    dirty: tuple[str, ...]
    """Paths of which no commit holds the content; submodules and nested repositories among them."""
    tree: str | None
    """A tree of everything; None: the empty one."""
    manifest: Manifest


class _Changes(NamedTuple):
    files: list[str]
    submodules: list[str]
    repositories: list[str]
    ignored: list[str]
    """A directory that is ignored as a whole stands for all in it, with a `/` at its end."""


def survey(repository: Repository, work: Work, head: str | None) -> Survey:
    """Looks at everything and stores the contents that no commit holds. Blocks (about two `git status`)."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(_changes, repository, head)
        tracked, hidden = _tracked(work.git)
        clean = _statuses(work, tracked)
        changes = pending.result()
    uncommitted = set(changes.files)
    hidden_files = [path for path in map(os.fsdecode, hidden) if os.path.lexists(os.path.join(work.git.top, path))]
    for path in (*uncommitted, *hidden_files):
        clean.pop(os.fsencode(path), None)
    exact, converted = _converted(work.git, clean, changes.files)
    entries = store_paths(work, sorted({*uncommitted, *hidden_files}), large="note")
    tree = _tree(work, head, entries)
    entries |= store_paths(work, exact)
    return Survey(
        dirty=tuple(sorted({*uncommitted, *changes.repositories, *changes.submodules})),
        tree=tree,
        manifest=_manifest(work, head, changes, entries, clean, converted),
    )


def _changes(repository: Repository, head: str | None) -> _Changes:
    with repository.plumbing() as git:
        status, out, _ = git.attempt(
            "status", "--porcelain=v2", "-z", "-uall", "--ignored=matching", "--no-renames", "--ignore-submodules=dirty"
        )
        if status != 0:
            # A filter that some file requires is missing; the plumbing underneath runs none.
            listing = list_changes(git, head)
            ignored = git.records("ls-files", "-o", "-i", "-z", "--exclude-standard", "--directory")
            return _Changes(
                listing.paths(), list(listing.submodules), list(listing.repositories), [*map(os.fsdecode, ignored)]
            )
    found = _Changes([], [], [], [])
    for record in out.split(b"\0")[:-1]:
        kind, rest = record[:1], os.fsdecode(record[2:])
        if kind == b"!":
            found.ignored.append(rest)
        elif kind == b"?":
            (found.repositories if rest.endswith("/") else found.files).append(rest.rstrip("/"))
        else:
            fields = rest.split(" ", 9 if kind == b"u" else 7)
            (found.submodules if fields[1].startswith("S") else found.files).append(fields[-1])
    return found


def _tracked(git: Git) -> tuple[list[bytes], list[bytes]]:
    """All paths of the index, and those of them that git is told not to look at."""
    records = git.records("ls-files", "-v", "-z")
    hidden = [record[2:] for record in records if record[:1] == b"S" or record[:1].islower()]
    return [record[2:] for record in records], hidden


def _statuses(work: Work, tracked: Iterable[bytes]) -> dict[bytes, os.stat_result]:
    """What `lstat` says of every tracked regular file that is there."""
    prefix = os.fsencode(work.git.top) + b"/"
    found = {}
    lstat, regular = os.lstat, stat.S_ISREG
    for path in tracked:
        try:
            status = lstat(prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if regular(status.st_mode):
            found[path] = status
    return found


def _converted(
    git: Git, clean: Mapping[bytes, os.stat_result], changed: Iterable[str]
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Clean files whose bytes are not those of their blob: which to keep exactly, and which to leave to a checkout."""
    settings = _settings(git)
    rules = _attribute_files(git, settings.get("core.attributesfile", ""), clean, changed)
    if not rules and settings.get("core.autocrlf", "false").lower() in ("false", "no", "off", "0"):
        return [], []
    blobs: dict[bytes, bytes] = {}
    for record in git.records("ls-files", "-s", "-z"):
        about, _, path = record.partition(b"\t")
        if path in clean:
            blobs[path] = about.split()[1]
    # Line ends and encodings change the size; only a filter may keep it.
    sizes: dict[bytes, int] = {}
    wanted = b"\n".join(dict.fromkeys(blobs.values())) + b"\n" if blobs else b""
    for line in git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", stdin=wanted).splitlines():
        oid, _, number = line.partition(b" ")
        if number.isdigit():
            sizes[oid] = int(number)
    filtered = _filtered(git, rules, clean)
    found = [
        path for path, oid in blobs.items() if path in filtered or sizes.get(oid, -1) not in (-1, clean[path].st_size)
    ]
    exact: list[str] = []
    left: list[str] = []
    room = CONVERTED_BYTES
    for path in sorted(found, key=lambda path: clean[path].st_size):
        size = clean[path].st_size
        room -= size
        keep = room >= 0 and len(exact) < CONVERTED_FILES and size <= LARGE_BYTES
        (exact if keep else left).append(os.fsdecode(path))
    return exact, left


def _settings(git: Git) -> dict[str, str]:
    _, out, _ = git.attempt("config", "-z", "--get-regexp", r"^core\.(attributesfile|autocrlf)$")
    items = (os.fsdecode(item).partition("\n") for item in out.split(b"\0")[:-1])
    return {key: value if newline else "true" for key, newline, value in items}


def _attribute_files(git: Git, everywhere: str, tracked: Iterable[bytes], changed: Iterable[str]) -> list[str]:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    outside = [
        os.path.expanduser(everywhere) or os.path.join(config, "git", "attributes"),
        os.fspath(git.common_dir / "info" / "attributes"),
        "/etc/gitattributes",
    ]
    inside = [os.fsdecode(path) for path in tracked if path.endswith(b".gitattributes")]
    inside += [path for path in changed if path.endswith(".gitattributes")]
    return [path for path in (*outside, *(os.path.join(git.top, path) for path in inside)) if os.path.isfile(path)]


def _filtered(git: Git, rules: Iterable[str], clean: Iterable[bytes]) -> set[bytes]:
    if not any(b"filter" in _read(path) for path in rules):
        return set()
    fields = git.records("check-attr", "-z", "--stdin", "filter", stdin=b"".join(path + b"\0" for path in clean))
    return {
        path
        for path, value in zip(fields[0::3], fields[2::3], strict=True)
        if value not in (b"unspecified", b"unset")
    }  # fmt: skip


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _tree(work: Work, head: str | None, uncommitted: Mapping[str, Stored]) -> str | None:
    """The tree of HEAD with the uncommitted files in it by their exact bytes."""
    if not uncommitted:
        return work.git.text("rev-parse", "--verify", f"{head}^{{tree}}") if head else None
    zero = "0" * len(next((stored.oid for stored in uncommitted.values() if stored.oid), "0" * 40))
    removed, added = [], []
    for path, stored in uncommitted.items():
        # No index takes a name with `.git` in it; the manifest holds the file.
        if stored.problem or any(part.lower() == ".git" for part in path.split("/")):
            continue
        # First all of its stages go, then what is on the disk comes in.
        removed.append(f"0 {zero}\t".encode() + os.fsencode(path) + b"\0")
        if stored.oid is not None:
            added.append(f"{tree_mode(stored)} {stored.oid}\t".encode() + os.fsencode(path) + b"\0")
    with work.state.scratch() as directory:
        private = directory / "index"
        if (work.git.git_dir / "index").exists():
            private.write_bytes((work.git.git_dir / "index").read_bytes())
        env = {"GIT_INDEX_FILE": os.fspath(private)}
        lines = b"".join((*removed, *added))
        work.git.run("update-index", "--add", "--replace", "-z", "--index-info", stdin=lines, env=env)
        return work.git.text("write-tree", "--missing-ok", env=env)


def _manifest(
    work: Work, head: str | None, changes: _Changes, entries: dict[str, Stored],
    clean: Mapping[bytes, os.stat_result], converted: list[str],
) -> Manifest:  # fmt: skip
    groups: dict[int, list[bytes]] = {}
    for path, status in clean.items():
        groups.setdefault(status.st_mode & 0o7777, []).append(path)
    usual = {}
    for executable in (False, True):
        counts = {mode: len(paths) for mode, paths in groups.items() if bool(mode & 0o100) is executable}
        standard = (0o777 if executable else 0o666) & ~_umask()
        usual[executable] = max(counts, key=lambda mode: counts[mode]) if counts else standard
    odd = {
        os.fsdecode(path): mode for mode, paths in groups.items() if mode not in usual.values() for path in paths
    }  # fmt: skip
    above = {path.rpartition(b"/")[0] for path in clean}
    directories = directory_modes(work.tree, (*(os.fsdecode(path) + "/x" for path in above if path), *entries))
    common = Counter(directories.values()).most_common(1)
    directory = common[0][0] if common else 0o777 & ~_umask()
    return Manifest(
        head=head,
        entries=entries,
        directories={path: mode for path, mode in directories.items() if mode != directory},
        repositories=changes.repositories,
        submodules=changes.submodules,
        more={
            "modes": odd, "plain": usual[False], "executable": usual[True], "directory": directory,
            "ignored": changes.ignored, "converted": converted,
        },
    )  # fmt: skip


def _umask() -> int:
    """What this process takes away from new files' permissions; asking the system for it would change it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except FileNotFoundError:
        return 0o022
    return 0o022

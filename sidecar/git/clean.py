"""What git's objects do not say of the clean files: their permission bits, and which are converted on the disk."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.git.blobs import LARGE_BYTES
from sidecar.git.plumbing import Git
from sidecar.git.worktree import NOT_THERE

CONVERTED_FILES = 256
CONVERTED_BYTES = 32 * 1024 * 1024
"""How many files whose bytes on the disk differ from the committed ones are kept; the others can be made anew."""

UNSEEN = NOT_THERE | {errno.EACCES}
_PLAIN = stat.S_IFREG | 0o644
_NO = ("false", "no", "off", "0")


def settings(git: Git) -> dict[str, str]:
    """The three settings that matter here; keys in small letters."""
    _, out, _ = git.attempt("config", "-z", "--get-regexp", r"^core\.(attributesfile|autocrlf|filemode)$")
    items = (os.fsdecode(item).partition("\n") for item in out.split(b"\0")[:-1])
    return {key: value if newline else "true" for key, newline, value in items}


def tracked_paths(git: Git) -> tuple[list[bytes], list[bytes]]:
    """All paths of the index, and those of them that git is told not to look at."""
    out = git.run("ls-files", "-v", "-z")
    # Nearly always every record begins with `H `; then one split does it.
    plain = out[2:-1].split(b"\0H ") if out.startswith(b"H ") else []
    if plain and not any(b"\0" in path for path in plain):
        return plain, []
    records = out.split(b"\0")[:-1]
    hidden = [record[2:] for record in records if record[:1] == b"S" or record[:1].islower()]
    return [record[2:] for record in records], hidden


class Modes(NamedTuple):
    """Permission bits: the usual ones of plain and of executable files, and the files that have others."""

    plain: int
    executable: int
    odd: dict[str, int]


class Bits(NamedTuple):
    """What `lstat` says of the tracked files."""

    plain: int
    """How many regular files have 0644."""
    other: list[tuple[bytes, int]]
    """All others that are there, with type and permission bits."""


def permission_bits(top: Path, tracked: Iterable[bytes]) -> Bits:
    """Looks at every tracked file. Blocks (1.5 µs for each)."""
    other: list[tuple[bytes, int]] = []
    plain = 0
    lstat, usual = os.lstat, _PLAIN
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in tracked:
            try:
                mode = lstat(path, dir_fd=fd).st_mode
            except OSError as exc:
                if exc.errno not in UNSEEN:
                    raise
                continue
            if mode == usual:
                plain += 1
            else:
                other.append((path, mode))
    finally:
        os.close(fd)
    return Bits(plain, other)


def modes(configured: Mapping[str, str], bits: Bits, without: Collection[bytes]) -> Modes:
    """Sums up the bits, `without` the files that are not clean."""
    files = [(path, stat.S_IMODE(mode)) for path, mode in bits.other if stat.S_ISREG(mode) and path not in without]
    counts = Counter(mode for _, mode in files)
    counts[0o644] += bits.plain

    def most(standard: int, executable: bool | None) -> int:
        fitting = [mode for mode in counts if counts[mode] and executable in (None, bool(mode & 0o100))]
        return max(fitting, key=counts.__getitem__) if fitting else standard & ~umask()

    if configured.get("core.filemode", "true").lower() in _NO:
        # The index says nothing about these bits here, so one usual mode is all that can be assumed.
        plain = executable = most(0o666, None)
    else:
        plain, executable = most(0o666, False), most(0o777, True)
    return Modes(
        plain, executable, {os.fsdecode(path): mode for path, mode in files if mode not in (plain, executable)}
    )


def converted(
    git: Git, configured: Mapping[str, str], tracked: list[bytes], without: Collection[bytes]
) -> tuple[list[str], list[str]]:
    """Clean files whose bytes are not those of their blob: which to keep exactly, and which to leave to a checkout.

    Args:
        without: files that are not clean.
    """
    rules = _attribute_files(git, configured.get("core.attributesfile", ""), (*tracked, *without))
    if not rules and configured.get("core.autocrlf", "false").lower() in _NO:
        return [], []
    prefix = os.fsencode(git.top) + b"/"
    on_disk: dict[bytes, int] = {}
    blobs: dict[bytes, bytes] = {}
    for record in git.records("ls-files", "-s", "-z"):
        about, _, path = record.partition(b"\t")
        try:
            status = os.lstat(prefix + path)
        except OSError as exc:
            if exc.errno not in UNSEEN:
                raise
            continue
        if stat.S_ISREG(status.st_mode) and path not in without:
            on_disk[path], blobs[path] = status.st_size, about.split()[1]
    # Line ends and encodings change the size; only a filter may keep it.
    sizes: dict[bytes, int] = {}
    wanted = b"".join(oid + b"\n" for oid in dict.fromkeys(blobs.values()))
    for line in git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", stdin=wanted).splitlines():
        oid, _, number = line.partition(b" ")
        if number.isdigit():
            sizes[oid] = int(number)
    filtered = _filtered(git, rules, on_disk)
    found = {
        path: on_disk[path]
        for path, oid in blobs.items()
        if path in filtered or sizes.get(oid, on_disk[path]) != on_disk[path]
    }
    exact: list[str] = []
    left: list[str] = []
    room = CONVERTED_BYTES
    for path, size in sorted(found.items(), key=lambda item: item[1]):
        room -= size
        keep = room >= 0 and len(exact) < CONVERTED_FILES and size <= LARGE_BYTES
        (exact if keep else left).append(os.fsdecode(path))
    return exact, left


def _attribute_files(git: Git, everywhere: str, paths: Iterable[bytes]) -> list[str]:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    outside = [
        os.path.expanduser(everywhere) or os.path.join(config, "git", "attributes"),
        os.fspath(git.common_dir / "info" / "attributes"),
        "/etc/gitattributes",
    ]
    inside = [os.path.join(git.top, os.fsdecode(path)) for path in paths if path.endswith(b".gitattributes")]
    return [path for path in (*outside, *inside) if os.path.isfile(path)]


def _filtered(git: Git, rules: Iterable[str], files: Iterable[bytes]) -> set[bytes]:
    if not any(b"filter" in Path(path).read_bytes() for path in rules):
        return set()
    fields = git.records("check-attr", "-z", "--stdin", "filter", stdin=b"".join(path + b"\0" for path in files))
    return {
        path
        for path, value in zip(fields[0::3], fields[2::3], strict=True)
        if value not in (b"unspecified", b"unset")
    }  # fmt: skip


def umask() -> int:
    """What this process takes away from new files' permissions; asking the system for it would change it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except FileNotFoundError:
        return 0o022
    return 0o022

"""Contents as git blobs, byte for byte: no filter, no line-end conversion, no program of anybody's runs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

from sidecar.git.plumbing import Git, quoted_lines
from sidecar.git.state import Work
from sidecar.git.worktree import Signature
from sidecar.model.errors import SidecarError

LARGE_BYTES = 10 * 1024 * 1024
"""A file above this is stored only where the caller says so."""
ROUNDS = 5
"""How often a file that changes while it is read is read again."""
CLOCK_TICK_NS = 20_000_000
"""Two writes closer together than this may carry one time stamp (a kernel's clock ticks every 1 to 10 ms)."""
CHUNK = 1 << 20

Large = Literal["store", "hash", "note"]
"""What to do with a file above `LARGE_BYTES`: keep its content, only its hash, or only its signature."""

_OID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_AS_IT_IS = {"GIT_NO_REPLACE_OBJECTS": "1"}


class Stored(NamedTuple):
    """What stood at a path and what was kept of it."""

    signature: Signature
    oid: str | None = None
    """The blob: bytes of the file, or the target of the link. None: no file or link, or `problem` says why."""
    kept: bool = False
    """Whether the content is in the repository; a hash alone is not."""
    unstable: bool = False
    """It was being written all the time; the blob is what one reading saw."""
    problem: str = ""
    """`large` (above `LARGE_BYTES`) or what the system said when it was read."""


def check_oid(oid: str) -> str:
    """The id of an object in full, returned as it is.

    Raises:
        SidecarError: `invalid-arguments`.
    """
    if not _OID.match(oid):
        raise SidecarError("invalid-arguments", f"{oid[:80]!r} is no full object id.")
    return oid


def store_bytes(git: Git, data: bytes) -> str:
    """Stores one content; its object id."""
    return git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=data)


def store_many(
    work: Work, contents: Sequence[bytes], *, write: bool = True, env: Mapping[str, str] | None = None
) -> list[str]:
    """Stores many contents by one process; their object ids in the same order."""
    if len(contents) == 1 and write and env is None:
        return [store_bytes(work.git, contents[0])]
    if not contents:
        return []
    with work.state.scratch() as directory:
        paths = [directory / str(number) for number in range(len(contents))]
        for path, data in zip(paths, contents, strict=True):
            path.write_bytes(data)
        options = ("-w",) if write else ()
        lines = quoted_lines(map(str, paths))
        words = (*options, "--no-filters", "--stdin-paths")
        return work.git.run("hash-object", *words, stdin=lines, env=env).decode().split()


def store_files(git: Git, files: Sequence[Path], *, write: bool = True) -> dict[Path, str]:
    """Stores files of our own that nobody writes, wherever they are; what cannot be read is missing in the answer."""
    by_name = {os.fspath(path): path for path in files}
    return {by_name[name]: oid for name, oid in _hash(git, list(by_name), write=write).items()}


def store_paths(
    work: Work, paths: Iterable[str], *, write: bool = True, large: Large = "store"
) -> dict[str, Stored]:  # fmt: skip
    """Stores what stands at paths of the work tree, byte for byte, and says what stood there at that moment.

    A file whose signature moved while git read it is read again, `ROUNDS` times at most.
    """
    found: dict[str, Stored] = {}
    waiting: dict[str, Signature] = {}
    links: dict[str, tuple[Signature, bytes]] = {}

    def sort_in(path: str) -> None:
        waiting.pop(path, None)
        try:
            signature = work.tree.signature(path)
        except PermissionError as exc:  # A directory above it may not be searched.
            found[path] = Stored(Signature("other"), problem=exc.strerror or str(exc))
            return
        if signature.kind == "link":
            try:
                links[path] = (signature, work.tree.link_target(path))
            except OSError as exc:
                found[path] = Stored(signature, problem=exc.strerror or str(exc))
        elif signature.kind != "file":
            found[path] = Stored(signature)
        elif signature.size > LARGE_BYTES and large == "note":
            found[path] = Stored(signature, problem="large")
        else:
            waiting[path] = signature

    for path in paths:
        sort_in(path)
    for _ in range(ROUNDS):
        if not waiting:
            break
        started = time.time_ns()
        big = {path for path, signature in waiting.items() if large == "hash" and signature.size > LARGE_BYTES}
        oids = _hash(work.git, [path for path in waiting if path not in big], write=write)
        oids |= _hash(work.git, sorted(big), write=False)
        racy = False
        for path, before in list(waiting.items()):
            sort_in(path)
            after = waiting.get(path)
            if after is None:
                continue
            if path in oids and after == before and not _just_written(after, started):
                found[path] = Stored(after, oids[path], kept=write and path not in big)
                del waiting[path]
            elif path not in oids and (problem := _unreadable(work, path)):
                found[path] = Stored(after, problem=problem)
                del waiting[path]
            elif after == before:
                racy = True
        if racy:
            time.sleep(CLOCK_TICK_NS / 1e9)
    for path in waiting:
        found[path] = _read_once(work, path, write=write)
    for path, oid in zip(links, store_many(work, [target for _, target in links.values()], write=write), strict=True):
        found[path] = Stored(links[path][0], oid, kept=write)
    return found


def _just_written(signature: Signature, started_ns: int) -> bool:
    """Whether a further write could have gone unseen because the clock had not ticked yet."""
    return max(signature.mtime_ns, signature.ctime_ns) > started_ns - CLOCK_TICK_NS


def _unreadable(work: Work, path: str) -> str:
    try:
        work.tree.read(path)
    except PermissionError as exc:
        return exc.strerror or str(exc)
    except OSError:
        return ""  # It vanished or is changing; the next round sees what it has become.
    return ""


def _read_once(work: Work, path: str, *, write: bool) -> Stored:
    """The last resort for a file that never holds still."""
    signature = work.tree.signature(path)
    try:
        data = work.tree.read(path)
    except OSError as exc:
        return Stored(signature, problem=exc.strerror or str(exc))
    return Stored(signature, store_many(work, [data], write=write)[0], kept=write, unstable=True)


def _hash(git: Git, paths: Sequence[str], *, write: bool) -> dict[str, str]:
    """Object ids of the files that git could read. It ends at the first that it cannot; then it is asked on."""
    oids: dict[str, str] = {}
    options = ("-w",) if write else ()
    at = 0
    while at < len(paths):
        status, out, err = git.attempt(
            "hash-object", *options, "--no-filters", "--stdin-paths", stdin=quoted_lines(paths[at:])
        )
        lines = out.decode().split()
        oids.update(zip(paths[at:], lines, strict=False))
        if status == 0:
            break
        if "unable to write" in err or "No space left" in err or "insufficient permission" in err:
            raise SidecarError(
                "state-unavailable",
                f"git cannot store contents: {err.strip().splitlines()[-1]}",
                "Make room, then try again.",
            )
        at += len(lines) + 1
    return oids


def copy_blobs(git: Git, oids: Iterable[str], take: Callable[[str, Iterator[bytes]], None]) -> None:
    """Reads blobs by one process, each once, in chunks.

    Args:
        take: is called with the object id and its content, in the order given.

    Raises:
        SidecarError: `state-unavailable` where one is missing.
    """
    wanted = list(dict.fromkeys(map(check_oid, oids)))
    if not wanted:
        return
    request = "".join(f"{oid}\n" for oid in wanted).encode()
    with git.reading("cat-file", "--batch", "--buffer", stdin=request, env=_AS_IT_IS) as stream:
        for oid in wanted:
            header = stream.readline().split()
            if len(header) != 3 or header[0].decode() != oid:
                raise SidecarError(
                    "state-unavailable", f"The stored content {oid} is not in the repository.", "Run `git fsck` there."
                )
            chunks = _chunks(stream, int(header[2]))
            take(oid, chunks)
            for _ in chunks:
                pass
            stream.read(1)


def _chunks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = stream.read(min(size, CHUNK))
        if not chunk:
            raise SidecarError("state-unavailable", "git ended in the middle of an object.", "Run `git fsck` there.")
        size -= len(chunk)
        yield chunk


def read_blobs(git: Git, oids: Iterable[str]) -> dict[str, bytes]:
    """Contents by object id, read by one process."""
    found: dict[str, bytes] = {}

    def take(oid: str, chunks: Iterator[bytes]) -> None:
        found[oid] = b"".join(chunks)

    copy_blobs(git, oids, take)
    return found


def missing(git: Git, oids: Iterable[str]) -> list[str]:
    """Which of these objects are not in the repository."""
    wanted = "".join(f"{check_oid(oid)}\n" for oid in dict.fromkeys(oids)).encode()
    if not wanted:
        return []
    out = git.run("cat-file", "--batch-check=%(objectname)", "--buffer", stdin=wanted, env=_AS_IT_IS)
    return [line.split()[0] for line in out.decode().splitlines() if line.endswith(" missing")]

"""One open `Repo` as the plumbing uses it: bytes in, bytes out, foreign words only by standard input or behind `--`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from sidecar.model.errors import SidecarError

if TYPE_CHECKING:
    from git import Repo

TIMEOUT_SECONDS = 600.0
"""Longest run of one git process; hashing is the slowest thing that any does."""
ARGUMENT_BYTES = 100_000
"""Most bytes of paths in one command line, where a command takes them by no other way."""

_NO_NAMES = frozenset({"", ".", "..", ".git"})
_ESCAPES = [
    bytes([byte]) if 0x20 <= byte < 0x7F and byte not in b'"\\' else b"\\%03o" % byte for byte in range(256)
]  # fmt: skip


class Git:
    """Runs plumbing commands on one open repository. Not for use by two threads at once.

    Raises (all methods): GitPython's errors; `Repository.plumbing` turns them into `SidecarError`.
    """

    def __init__(
        self,
        repo: Repo,
        top: Path,
        git_dir: Path,
        *,
        without_filters: Mapping[str, str] | None = None,
        unsynced: Mapping[str, str] | None = None,
    ) -> None:
        self._repo = repo
        self.without_filters = dict(without_filters or {})
        """The environment for commands that only look: no filter runs, so none that is missing can end them."""
        self.unsynced = dict(unsynced or {})
        """The environment for storing what could be made anew: nothing waits for the disk."""
        self.top = top
        self.git_dir = git_dir
        self.common_dir = Path(repo.common_dir)

    def run(self, command: str, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        """The standard output of `git command args`. Blocks."""
        with _as_file(stdin) as stream:
            out: bytes = self._command(command)(
                *args, istream=stream, env=dict(env or {}), stdout_as_string=False, strip_newline_in_stdout=False,
                kill_after_timeout=TIMEOUT_SECONDS,
            )  # fmt: skip
        return out

    def attempt(
        self, command: str, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """Exit status, standard output and standard error, whatever the status is (negative: the signal). Blocks."""
        with _as_file(stdin) as stream:
            status, out, err = self._command(command)(
                *args, istream=stream, env=dict(env or {}), stdout_as_string=False, strip_newline_in_stdout=False,
                with_extended_output=True, with_exceptions=False, kill_after_timeout=TIMEOUT_SECONDS,
            )  # fmt: skip
        return int(status), out, err if isinstance(err, str) else os.fsdecode(err)

    @contextlib.contextmanager
    def reading(
        self, command: str, *args: str, stdin: bytes, env: Mapping[str, str] | None = None
    ) -> Iterator[IO[bytes]]:
        """The standard output as a stream, for answers that may be large. What goes wrong shows as a short answer."""
        with _as_file(stdin) as stream:
            process = self._command(command)(*args, istream=stream, env=dict(env or {}), as_process=True)
            try:
                yield process.stdout
            finally:
                with contextlib.suppress(OSError):  # It may have ended by itself.
                    process.terminate()
                process.stdout.close()
                process.stderr.close()
                with contextlib.suppress(subprocess.SubprocessError, self._error()):
                    process.wait()

    def text(self, command: str, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """The standard output as one line without its newline."""
        return os.fsdecode(self.run(command, *args, stdin=stdin, env=env)).rstrip("\n")

    def records(
        self, command: str, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> list[bytes]:
        """The NUL-terminated records of an answer with `-z`."""
        return self.run(command, *args, stdin=stdin, env=env).split(b"\0")[:-1]

    def _command(self, command: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._repo.git, command.replace("-", "_"))
        return method

    @staticmethod
    def _error() -> type[Exception]:
        from git import GitCommandError

        return GitCommandError


@contextlib.contextmanager
def _as_file(data: bytes | None) -> Iterator[BinaryIO | None]:
    # A file, not a pipe: nobody has to feed it while the answer is read. In memory, so that a full disk is no matter.
    if data is None:
        yield None
        return
    file: BinaryIO
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("git-input", os.MFD_CLOEXEC), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    with file:
        file.write(data)
        file.seek(0)
        yield file


def nul_list(paths: Iterable[str]) -> bytes:
    """Paths as a command with `-z --stdin` reads them."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def quoted_lines(paths: Iterable[str]) -> bytes:
    """Paths for commands that read lines: quoted as in C, so a newline in a name is no end of a line."""
    return b"".join(c_quoted(path) + b"\n" for path in paths)


def c_quoted(path: str) -> bytes:
    """A path as git reads it between quotation marks."""
    return b'"' + b"".join(map(_ESCAPES.__getitem__, os.fsencode(path))) + b'"'


def argument_groups(paths: Iterable[str]) -> Iterator[list[str]]:
    """Paths in groups that fit on a command line."""
    group: list[str] = []
    size = 0
    for path in paths:
        size += len(os.fsencode(path)) + 1
        if group and size > ARGUMENT_BYTES:
            yield group
            group, size = [], len(os.fsencode(path)) + 1
        group.append(path)
    if group:
        yield group


def check_path(path: str, *, folds: bool = False) -> str:
    """A path relative to the top that stays in the work tree and out of any `.git`; returned as it is.

    Args:
        folds: whether the file system takes `.GIT` for `.git`.

    Raises:
        SidecarError: `invalid-arguments`.
    """
    parts = path.split("/")
    if "\0" in path or any(part in _NO_NAMES or (folds and part.lower() == ".git") for part in parts):
        raise SidecarError(
            "invalid-arguments",
            f"path: {shown(path)!r} is no path of a file in the work tree.",
            "Give it relative to the top level, with `/` between the parts.",
            {"field": "path"},
        )
    return path


def shown(path: str) -> str:
    """A path for people: what is not UTF-8 in it becomes a replacement character."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

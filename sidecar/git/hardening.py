"""The environment of every git process: what a repository's own configuration could make git execute is switched off.

A repository's configuration may come from an unpacked archive or from a worker, so it is foreign. A person's global and
system configuration is theirs: a filter that it names (LFS, say) works on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from sidecar.git.plumbing import c_quoted

if TYPE_CHECKING:
    from git import Repo

# Scopes of `git config --show-scope` that belong to the repository; an included file has the scope of its includer.
FOREIGN_SCOPES = frozenset({"local", "worktree"})
# Keys whose value is run as a program by git, or by git-lfs when a person's own filter starts it.
EXECUTED = (
    r"^(filter\..*\.(clean|smudge|process|required)"
    r"|core\.(sshcommand|askpass|gitproxy|editor|pager|alternaterefscommand)"
    r"|credential\.(.*\.)?helper"
    r"|lfs\.(.*\.)?(standalonetransferagent|path|clean|smudge)|lfs\.extension\..*"
    r"|gpg\.(.*\.)?program)$"
)
BASE = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # A partial clone would fetch what is missing, by a program that its configuration names.
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
ALWAYS = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("diff.external", ""),
)
# Paths are names, never patterns; the three others would contradict it.
LITERAL_PATHS = {
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_GLOB_PATHSPECS": "0",
    "GIT_NOGLOB_PATHSPECS": "0",
    "GIT_ICASE_PATHSPECS": "0",
}
# Every object and ref that a snapshot stands on is on the disk before anything in the work tree is moved.
LASTING = (("core.fsync", "loose-object,pack,pack-metadata,reference"), ("core.fsyncMethod", "fsync"))
UNSYNCED = (("core.fsync", "none"),)
# Private copies of the index are whole, whatever the person's own looks like.
WHOLE_INDEX = (("core.splitIndex", "false"),)
# Blobs are stored by exact bytes and names are kept as they are, also where Windows or macOS would refuse them.
ANY_NAME = (("core.protectNTFS", "false"), ("core.protectHFS", "false"))


def as_environment(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Configuration as environment variables; it goes before every file. Later pairs win, or add to a list."""
    env: dict[str, str] = {}
    count = 0
    for key, value in pairs:
        env[f"GIT_CONFIG_KEY_{count}"] = key
        env[f"GIT_CONFIG_VALUE_{count}"] = value
        count += 1
    env["GIT_CONFIG_COUNT"] = str(count)
    return env


class Programs(NamedTuple):
    """The keys of all configuration that name programs."""

    foreign: frozenset[str]
    """Set by the repository itself."""
    own: dict[str, list[str]]
    """Set by the person or the system, with the values."""

    def filters(self) -> set[str]:
        """Every `filter.<name>` that anybody set."""
        return {key.rsplit(".", 1)[0] for key in (*self.foreign, *self.own) if key.startswith("filter.")}


def look(repo: Repo) -> Programs:
    """Reads which programs the configuration names. One git process; reading configuration executes nothing."""
    out: bytes = repo.git.config(
        "--show-scope", "--includes", "-z", "--get-regexp", EXECUTED,
        with_exceptions=False, stdout_as_string=False, strip_newline_in_stdout=False,
    )  # fmt: skip
    fields = [os.fsdecode(field) for field in out.split(b"\0")]
    foreign: set[str] = set()
    own: dict[str, list[str]] = {}
    for scope, item in zip(fields[0::2], fields[1::2], strict=False):
        # A key without `=` stands for true and has no newline.
        key, newline, value = item.partition("\n")
        if scope in FOREIGN_SCOPES:
            foreign.add(key)
        else:
            own.setdefault(key, []).append(value if newline else "true")
    return Programs(frozenset(foreign), own)


def overrides(programs: Programs) -> list[tuple[str, str]]:
    """What to set over the repository's own configuration: the person's value where there is one, else nothing."""
    pairs: list[tuple[str, str]] = []
    for key in sorted(programs.foreign):
        # An empty value ends the list so far, so the person's own entries are said again behind it.
        nothing = "false" if key.endswith(".required") else ""
        pairs += [(key, value) for value in (nothing, *programs.own.get(key, []))]
    for name in sorted(programs.filters()):
        working = [end for end in ("clean", "smudge", "process") if f"{name}.{end}" in programs.own]
        # A `process` cannot be unset again, and git looks at nothing else where there is one, even an empty one.
        spoilt = f"{name}.process" in programs.foreign and "process" not in working
        if spoilt or not working:
            # Required and not there: git would end.
            pairs.append((f"{name}.required", "false"))
    return pairs


def no_filters(programs: Programs) -> list[tuple[str, str]]:
    """Switches every filter off, the person's too: for looking only, where a missing program must not end git."""
    return [
        pair
        for name in sorted(programs.filters())
        for pair in (
            (f"{name}.clean", ""), (f"{name}.smudge", ""), (f"{name}.process", ""), (f"{name}.required", "false"),
        )
    ]  # fmt: skip


def environment(top: str, programs: Programs) -> dict[str, str]:
    """The hardened environment for looking at a repository; the tree is at `top`, whatever `core.worktree` says."""
    return {**BASE, "GIT_WORK_TREE": top, **as_environment((*ALWAYS, *overrides(programs)))}


def plumbing_environment(
    top: str, programs: Programs, extra: Iterable[tuple[str, str]], *, filters: bool
) -> dict[str, str]:
    """The hardened environment for the plumbing, with a person's own filters or without any."""
    pairs = (*ALWAYS, *LASTING, *ANY_NAME, *WHOLE_INDEX, *extra, *overrides(programs))
    more = () if filters else no_filters(programs)
    return {**BASE, **LITERAL_PATHS, "GIT_WORK_TREE": top, **as_environment((*pairs, *more))}


def scratch_environment(objects: str) -> dict[str, str]:
    """The environment for a bare repository of our own that reads the objects in `objects`.

    No configuration and no attributes of the real repository are looked at there: whatever merge drivers, diff drivers
    or text conversions they name play no part, nor do a person's own.
    """
    pairs = (
        *ALWAYS,
        ("core.attributesFile", os.devnull),
        *UNSYNCED,
        ("merge.default", "text"),
        ("merge.conflictStyle", "diff3"),
        # The trees hold a few files only; what they say of whole directories would be a guess.
        ("merge.directoryRenames", "false"),
        ("merge.renormalize", "false"),
    )
    return {
        **BASE,
        **LITERAL_PATHS,
        **as_environment(pairs),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": c_quoted(objects).decode("ascii"),
    }

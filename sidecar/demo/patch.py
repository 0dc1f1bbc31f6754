"""Applies the patch format of Codex's apply_patch tool, so that the bundled worker can play patches without Codex."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Changes = list[dict[str, str]]

_BEGIN, _END = "*** Begin Patch", "*** End Patch"


def apply_patch(text: str, directory: Path, begins: Callable[[Changes], None] | None = None) -> Changes:
    """Applies `text` to the files below `directory`, all of it or nothing.

    Args:
        begins: called with the changes before the first file is touched.

    Returns:
        The changes as Codex reports them: `{"path": absolute, "kind": "add" | "update" | "delete"}`.

    Raises:
        ValueError: the patch is malformed or does not fit; no file was touched.
        OSError: a file cannot be read or written.
    """
    lines = text.strip("\n").split("\n")
    if lines[0].strip() != _BEGIN or lines[-1].strip() != _END:
        raise ValueError(f"a patch stands between {_BEGIN!r} and {_END!r}")
    changes: Changes = []
    writes: list[tuple[Path, str | None]] = []
    body = lines[1:-1]
    at = 0
    while at < len(body):
        kind, _, name = body[at].removeprefix("*** ").partition(" File: ")
        end = at + 1
        while end < len(body) and not body[end].startswith(
            ("*** Add File: ", "*** Update File: ", "*** Delete File: ")
        ):
            end += 1
        section = body[at + 1 : end]
        path = directory / name.strip()
        if kind == "Add":
            writes.append((path, "".join(f"{line[1:]}\n" for line in section)))
        elif kind == "Delete":
            if not path.is_file():
                raise ValueError(f"no such file: {name}")
            writes.append((path, None))
        elif kind == "Update":
            target = path
            if section and section[0].startswith("*** Move to: "):
                target = directory / section.pop(0).removeprefix("*** Move to: ").strip()
                writes.append((path, None))
            writes.append((target, _updated(path.read_text(), section, name)))
        else:
            raise ValueError(f"not a patch line: {body[at]!r}")
        # Codex names a moved file by its old path.
        changes.append({"path": str(path), "kind": kind.lower()})
        at = end
    if begins is not None:
        begins(changes)
    for path, content in writes:
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return changes


def _updated(text: str, section: list[str], name: str) -> str:
    have = text.split("\n")
    position = 0
    hunks: list[list[str]] = [[]]
    for line in section:
        if line.startswith("@@"):
            hunks.append([])
        elif line != "*** End of File":
            hunks[-1].append(line or " ")
    for hunk in filter(None, hunks):
        old = [line[1:] for line in hunk if line[0] in " -"]
        new = [line[1:] for line in hunk if line[0] in " +"]
        for start in range(position, len(have) - len(old) + 1):
            if have[start : start + len(old)] == old:
                break
        else:
            raise ValueError(f"the lines to change were not found in {name}: {old}")
        have[start : start + len(old)] = new
        position = start + len(new)
    return "\n".join(have)

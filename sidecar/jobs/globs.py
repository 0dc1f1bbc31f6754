"""Can two globs name the same file? Jobs whose `expectedFiles` overlap do not run together.

The answer errs on the side of "yes": a character class counts as any character.
"""

from __future__ import annotations

import os
from functools import lru_cache

from sidecar.model.errors import invalid

_ANY_CHAR = "?"
_ANY_TEXT = "*"


def check(pattern: str, field: str, top: str = "") -> str:
    """The pattern in its normal form: `/`-separated, relative to the repository.

    A directory (written with a final `/`, or one that is there below `top`) means everything below it.

    Raises:
        SidecarError: `invalid-arguments` that names `field`.
    """
    if pattern.startswith(("/", "~")) or (len(pattern) > 1 and pattern[1] == ":"):
        raise invalid(field, f"{pattern!r} is not relative to the repository")
    segments = [part for part in pattern.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in segments:
        raise invalid(field, f"{pattern!r} leaves the repository")
    if not segments:
        segments = ["**"]
    elif pattern.endswith("/") or (top and os.path.isdir(os.path.join(top, *segments))):
        segments.append("**")
    return "/".join(segments)


def overlap(one: str, other: str) -> bool:
    """Whether some path matches both patterns (in the form that `check` gives)."""
    return _paths(tuple(one.split("/")), tuple(other.split("/")))


@lru_cache(maxsize=4096)
def _paths(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return all(segment == "**" for segment in one + other)
    if one[0] == "**":
        return _paths(one[1:], other) or _paths(one, other[1:])
    if other[0] == "**":
        return _paths(one, other[1:]) or _paths(one[1:], other)
    return _segments(one[0], other[0]) and _paths(one[1:], other[1:])


@lru_cache(maxsize=4096)
def _segments(one: str, other: str) -> bool:
    return _tokens(_tokenise(one), _tokenise(other))


def _tokenise(segment: str) -> tuple[str, ...]:
    tokens: list[str] = []
    position = 0
    while position < len(segment):
        char = segment[position]
        if char == "[":
            end = segment.find("]", position + 2)
            if end > 0:
                tokens.append(_ANY_CHAR)
                position = end + 1
                continue
            tokens.append("\0[")
        elif char == "*":
            if not tokens or tokens[-1] != _ANY_TEXT:
                tokens.append(_ANY_TEXT)
        else:
            tokens.append(char)
        position += 1
    return tuple(tokens)


def _tokens(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two token rows have a common text; both may hold `*` (any text) and `?` (any character)."""
    # previous[j]: what was read of `one` so far and the first j tokens of `other` have a common text.
    previous = [True]
    for token in other:
        previous.append(previous[-1] and token == _ANY_TEXT)
    for left in one:
        current = [previous[0] and left == _ANY_TEXT]
        for j, right in enumerate(other, 1):
            if _ANY_TEXT in (left, right):
                current.append(previous[j] or current[j - 1])
            else:
                current.append(previous[j - 1] and (left == right or _ANY_CHAR in (left, right)))
        previous = current
    return previous[-1]

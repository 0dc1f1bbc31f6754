"""Values as TOML, for `codex -c key=value`; what is no TOML there would silently be taken as a string."""

from __future__ import annotations

import math
import re
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


def to_toml(value: Any) -> str:
    """One value as an inline TOML value.

    Raises:
        ValueError: TOML has no such value (null, an integer of more than 64 bits, a lone surrogate, anything that is
            not JSON); the message says which.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise ValueError("an integer of more than 64 bits")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(to_toml(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(name)} = {to_toml(one)}" for name, one in value.items()) + "}"
    raise ValueError("null" if value is None else f"a {type(value).__name__}")


def _number(value: float) -> str:
    if math.isfinite(value):
        text = repr(value)
        mantissa, mark, exponent = text.partition("e")
        # TOML wants a digit after the point, and repr leaves the point out in 1e+16.
        return f"{mantissa}e{int(exponent)}" if mark else text
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _string(value: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("a lone surrogate, which is not a character")
    return '"' + "".join(_SHORT.get(char) or (char if char.isprintable() else _escape(char)) for char in value) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a key that is a {type(name).__name__}")
    return name if _BARE_KEY.match(name) else _string(name)

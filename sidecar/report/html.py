"""Makes HTML in which foreign text can do nothing but be read.

Everything that is not `Html` is escaped, so forgetting to escape is not possible; what a browser would not show
(control characters, marks that turn the direction of writing) is made visible.
"""

from __future__ import annotations

import html
import re

from sidecar.a2.messages import count

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_VOID = frozenset({"meta", "br", "use", "rect", "circle", "line", "path"})
"""Elements without content here; those of SVG are closed by a slash."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"[U+{code:04X}]"


def visible(text: str) -> str:
    """The text with everything that a browser hides made visible; line breaks stay as newlines."""
    return _HIDDEN.sub(_shown, text.replace("\r\n", "\n"))


def safe(text: str) -> Html:
    """Any text as HTML, for contents and for quoted attributes. `Html` stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(visible(text)))


def join(*parts: str | None) -> Html:
    """All parts one after another; None is nothing."""
    return Html("".join(safe(part) for part in parts if part is not None))


def el(name: str, /, *children: str | None, **attributes: str | float | bool | None) -> Html:
    """One element: `el("a", "text", href="#x", class_="y", aria_label="z")`.

    An attribute that is None or False is left out; True stands without a value. Numbers are written short.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(f" {key}" if value is True else f' {key}="{_value(value)}"')
    start = f"<{name}{''.join(written)}"
    if name in _VOID and not children:
        return Html(f"{start}>" if name in ("meta", "br") else f"{start}/>")
    return Html(f"{start}>{join(*children)}</{name}>")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return safe(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """`12.34%`."""
    return f"{_value(float(value))}%"


def one_line(text: str, width: int) -> str:
    """The text in one line of at most `width` characters; longer text ends in `…`."""
    line = " ".join(text[: 8 * width + 64].split())
    return line if len(line) <= width and len(text) <= 8 * width + 64 else line[: max(width - 1, 0)].rstrip() + "…"


def cut(text: str, width: int) -> tuple[str, int]:
    """The first `width` characters, and how many are left out."""
    return text[:width], max(len(text) - width, 0)


def listed(items: list[Html], most: int, word: str) -> Html:
    """A list of at most `most` items; the last one says how many more there are."""
    shown = [el("li", item) for item in items[:most]]
    if len(items) > most:
        shown.append(el("li", f"… and {count(len(items) - most, word)} more", class_="more"))
    return el("ul", *shown)

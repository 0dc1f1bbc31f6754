"""The entry within the text of a configuration file: found, put in, taken out; everything else stays as it is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from sidecar.bosses.entries import SERVER
from sidecar.model.errors import SidecarError


class Format(Protocol):
    """How a file is written."""

    def read(self, text: str) -> dict[str, Any]:
        """Its content; empty text is an empty file. Raises ValueError."""
        ...

    def put(self, text: str, section: str, entry: dict[str, Any]) -> str:
        """The text with the entry."""
        ...

    def take(self, text: str, section: str) -> str:
        """The text without the entry."""
        ...

    def show(self, section: str, entry: dict[str, Any]) -> str:
        """The entry alone, as a person would paste it."""
        ...


class Toml:
    """Comments, order and spacing of what is there stay."""

    def read(self, text: str) -> dict[str, Any]:
        try:
            return tomlkit.parse(text).unwrap()
        except TOMLKitError as exc:
            raise ValueError(str(exc)) from exc

    def put(self, text: str, section: str, entry: dict[str, Any]) -> str:
        document = tomlkit.parse(text)
        servers = document.get(section)
        if servers is None:
            servers = tomlkit.table(is_super_table=True)
            document[section] = servers
        table = servers.get(SERVER)
        if table is None:
            # An inline table can hold inline tables only.
            table = tomlkit.inline_table() if isinstance(servers, InlineTable) else tomlkit.table()
            servers[SERVER] = table
            table = servers[SERVER]
        for key, value in entry.items():
            if table.get(key) != value:
                table[key] = value
        return tomlkit.dumps(document)

    def take(self, text: str, section: str) -> str:
        document = tomlkit.parse(text)
        del document[section][SERVER]
        return tomlkit.dumps(document)

    def show(self, section: str, entry: dict[str, Any]) -> str:
        return self.put("", section, entry).strip()


class Json:
    """JSON with the indentation of the file; a file with comments is left to the person."""

    def read(self, text: str) -> dict[str, Any]:
        content = json.loads(text) if text.strip() else {}
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        return content

    def put(self, text: str, section: str, entry: dict[str, Any]) -> str:
        content = self.read(text)
        content.setdefault(section, {})[SERVER] = entry
        return self._write(content, text)

    def take(self, text: str, section: str) -> str:
        content = self.read(text)
        del content[section][SERVER]
        if not content[section]:
            del content[section]
        return self._write(content, text)

    def show(self, section: str, entry: dict[str, Any]) -> str:
        return json.dumps({section: {SERVER: entry}}, indent=2, ensure_ascii=False)

    def _write(self, content: dict[str, Any], before: str) -> str:
        first = next((line for line in before.splitlines()[1:] if line.strip()), "  ")
        indent = first[: len(first) - len(first.lstrip())] or "  "
        return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


def entry_in(content: Mapping[str, Any], section: str) -> object:
    """The entry of our name; None where there is none."""
    servers = content.get(section)
    return servers.get(SERVER) if isinstance(servers, Mapping) else None


def changed(form: Format, before: str, section: str, change: Callable[[str], str]) -> str:
    """The changed text, after a check that only the entry differs.

    Raises:
        SidecarError: `internal`, where anything else would change; nothing was written.
    """
    after = change(before)
    try:
        same = _rest(form.read(before), section) == _rest(form.read(after), section)
    except ValueError:
        same = False
    if not same:
        raise SidecarError(
            "internal",
            "The file is written in a way that can not be changed safely.",
            "Put the entry in by hand: `--print` shows it.",
        )
    return after


def _rest(content: Mapping[str, Any], section: str) -> dict[str, Any]:
    rest = copy.deepcopy(dict(content))
    servers = rest.get(section)
    if isinstance(servers, dict):
        servers.pop(SERVER, None)
        if not servers:
            del rest[section]
    return rest

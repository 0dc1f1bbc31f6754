"""Makes a program a boss: its configuration file, found, read, changed in one place and replaced whole."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sidecar.bosses import entries
from sidecar.bosses.files import Format, Json, Toml, changed, entry_in
from sidecar.jobs.durable import write_file
from sidecar.model.errors import SidecarError, invalid

Outcome = Literal["written", "unchanged", "removed", "absent"]


@dataclass(frozen=True)
class Boss:
    """A program that can be a boss.

    Attributes:
        title: its name for people.
        path: of its configuration file, given the environment.
        section: the table of that file which holds the MCP servers.
        entry: makes the entry, given what the file holds.
    """

    title: str
    path: Callable[[Mapping[str, str]], Path]
    section: str
    form: Format
    entry: Callable[[Mapping[str, Any]], dict[str, Any]]


def _home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or os.path.expanduser("~"))


def _codex_file(env: Mapping[str, str]) -> Path:
    home = Path(env["CODEX_HOME"]) if env.get("CODEX_HOME") else _home(env) / ".codex"
    return home / "config.toml"


def _claude_file(env: Mapping[str, str]) -> Path:
    home = Path(env["CLAUDE_CONFIG_DIR"]) if env.get("CLAUDE_CONFIG_DIR") else _home(env)
    return home / ".claude.json"


def _vscode_file(env: Mapping[str, str]) -> Path:
    if sys.platform == "darwin":
        return _home(env) / "Library/Application Support/Code/User/mcp.json"
    base = Path(env["XDG_CONFIG_HOME"]) if env.get("XDG_CONFIG_HOME") else _home(env) / ".config"
    return base / "Code/User/mcp.json"


BOSSES: dict[str, Boss] = {
    "codex": Boss("Codex", _codex_file, "mcp_servers", Toml(), entries.for_codex),
    "claude": Boss("Claude Code", _claude_file, "mcpServers", Json(), entries.for_claude),
    "vscode": Boss("VS Code", _vscode_file, "servers", Json(), entries.for_vscode),
}


class Setup:
    """One boss's file as it is now."""

    def __init__(self, boss: Boss, env: Mapping[str, str]) -> None:
        """
        Raises:
            SidecarError: `invalid-arguments`, the file can not be read or is damaged, or the entry is another server's.
        """
        self._boss = boss
        self.path = boss.path(env)
        try:
            self._text = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            self._text = ""
        except (OSError, ValueError) as exc:
            raise _unreadable(self.path, exc) from exc
        try:
            self._content = boss.form.read(self._text)
        except ValueError as exc:
            raise _unreadable(self.path, exc) from exc
        self._there = entry_in(self._content, boss.section)
        servers = self._content.get(boss.section)
        if servers is not None and not isinstance(servers, Mapping):
            raise _unreadable(self.path, ValueError(f"`{boss.section}` is no table"))

    @property
    def entry(self) -> dict[str, Any]:
        """What the file is to hold: what a person changed in an entry of ours stays, but for the program."""
        fresh = self._boss.entry(self._content)
        if isinstance(self._there, Mapping) and entries.is_ours(self._there):
            return {**fresh, **self._there, "command": fresh["command"], "args": fresh["args"]}
        return fresh

    @property
    def there(self) -> dict[str, Any] | None:
        """What the file holds."""
        return dict(self._there) if isinstance(self._there, Mapping) else None

    def shown(self, entry: dict[str, Any] | None = None) -> str:
        """The entry as it would stand in the file; None: that of `entry`."""
        return self._boss.form.show(self._boss.section, self.entry if entry is None else entry)

    def check_free(self) -> None:
        """
        Raises:
            SidecarError: `invalid-arguments`: an entry of that name starts something else.
        """
        if self._there is not None and not entries.is_ours(self._there):
            raise invalid(
                "client",
                f"{self.path} has an entry `{entries.SERVER}` already, and it is another server's",
                "Rename or remove that entry; it was left as it is.",
            )

    def install(self) -> Outcome:
        """Puts the entry in.

        Raises:
            SidecarError: `invalid-arguments` (see `check_free`), `state-unavailable` (not written), `internal`.
        """
        self.check_free()
        entry = self.entry
        if self._there == entry:
            return "unchanged"
        form, section = self._boss.form, self._boss.section
        self._replace(changed(form, self._text, section, lambda text: form.put(text, section, entry)))
        return "written"

    def uninstall(self) -> Outcome:
        """Takes the entry out.

        Raises:
            SidecarError: like `install`.
        """
        self.check_free()
        if self._there is None:
            return "absent"
        form, section = self._boss.form, self._boss.section
        self._replace(changed(form, self._text, section, lambda text: form.take(text, section)))
        return "removed"

    def _replace(self, text: str) -> None:
        # A link stays a link: people keep these files elsewhere and link them in.
        path = Path(os.path.realpath(self.path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
            if (path.read_bytes().decode("utf-8") if path.exists() else "") != self._text:
                raise SidecarError("busy", f"{self.path} was changed meanwhile.", "Try again.")
            write_file(path, text.encode("utf-8"), mode)
        except OSError as exc:
            why = exc.strerror or str(exc)
            raise SidecarError(
                "state-unavailable",
                f"{self.path} could not be written: {why}.",
                "Put the entry in by hand: `--print` shows it.",
            ) from exc


def _unreadable(path: Path, exc: Exception) -> SidecarError:
    why = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return invalid(
        "client",
        f"{path} can not be read: {why}",
        "Mend the file, or put the entry in by hand: `--print` shows it. Nothing was changed.",
    )

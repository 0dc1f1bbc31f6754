"""Finds the Codex CLI: the setting, then CODEX_SIDECAR_CODEX, then `codex` on the PATH of whoever spawns.

What npm puts on the PATH is a launcher in JavaScript. Killing that leaves Codex running, and it costs 140 ms and 44 MiB
a worker, so the native binary is looked up beside it.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.model.errors import SidecarError
from sidecar.model.settings import CodexSettings
from sidecar.worker import program

MIN_VERSION = (0, 169, 0)
"""The version on which everything here was measured."""
VERSION_SECONDS = 10.0
VARIABLE = "CODEX_SIDECAR_CODEX"
INSTALL = "npm install -g @openai/codex"
UPGRADE = "npm install -g @openai/codex@latest"

_VERSION = re.compile(r"^codex(?:-cli)? (\d+)\.(\d+)\.(\d+)(\S*)", re.MULTILINE)
_CPU = {"x86_64": ("x64", "x86_64"), "amd64": ("x64", "x86_64"), "aarch64": ("arm64", "aarch64")}
_CPU["arm64"] = _CPU["aarch64"]
_SYSTEM = {"linux": ("linux", "unknown-linux-musl"), "darwin": ("darwin", "apple-darwin")}


@dataclass(frozen=True)
class Codex:
    """A program that runs workers.

    Attributes:
        argv: program and leading arguments.
        source: where it was named: `setting`, `CODEX_SIDECAR_CODEX` or `PATH`.
        named: the path that was found; `argv[0]` may be the native binary beside it.
        version: of the Codex CLI; None for a program that is not it (a scripted worker).
        banner: what `--version` printed, first line.
    """

    argv: tuple[str, ...]
    source: str
    named: str
    version: tuple[int, int, int] | None
    banner: str

    @property
    def is_codex(self) -> bool:
        return self.version is not None

    @property
    def shown_version(self) -> str:
        return ".".join(map(str, self.version)) if self.version else self.banner or "unknown"


class Finder:
    """Remembers what `--version` said for as long as the program file is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[tuple[int, int, int] | None, str]] = {}

    async def locate(self, settings: CodexSettings, env: Mapping[str, str]) -> Codex:
        """Finds the program and checks its version.

        Raises:
            SidecarError: `codex-not-found`: nowhere, not to be started, or too old; the message says where it looked.
        """
        source, argv, named, stamp = await asyncio.to_thread(_find, settings, env)
        key = (*argv, *stamp)
        if key not in self._known:
            self._known[key] = await _ask_version(argv, env)
        version, banner = self._known[key]
        if version is not None and version < MIN_VERSION:
            have, need = ".".join(map(str, version)), ".".join(map(str, MIN_VERSION))
            raise SidecarError(
                "codex-not-found",
                f"Codex {have} at {named} ({source}) is too old; {need} or newer is needed.",
                f"Upgrade it with `{UPGRADE}`.",
                {"path": named, "version": have, "minimum": need, "source": source},
            )
        return Codex(argv, source, named, version, banner)


def _find(settings: CodexSettings, env: Mapping[str, str]) -> tuple[str, tuple[str, ...], str, tuple[int, int]]:
    if settings.path.strip():
        source, words = "setting", [os.path.expanduser(settings.path.strip())]
    elif env.get(VARIABLE, "").strip():
        source = VARIABLE
        try:
            words = shlex.split(env[VARIABLE])
        except ValueError as exc:
            raise _not_found(f"{VARIABLE} is not a shell-quoted command ({exc}).", env) from exc
    else:
        source, words = "PATH", ["codex"]
    found = _executable(words[0], env)
    if found is None:
        places = {
            "setting": f"The setting codexSidecar.codex.path names {words[0]!r}, which is no program that can be run.",
            VARIABLE: f"{VARIABLE} names {words[0]!r}, which is no program that can be run.",
            "PATH": "The Codex CLI was not found: the setting codexSidecar.codex.path and the variable "
            f"{VARIABLE} are empty, and there is no `codex` on the PATH.",
        }
        raise _not_found(places[source], env)
    native = native_beside(found)
    path = str(native or found)
    status = os.stat(path)
    return source, (path, *words[1:]), found, (status.st_mtime_ns, status.st_size)


def _not_found(message: str, env: Mapping[str, str]) -> SidecarError:
    return SidecarError(
        "codex-not-found",
        message,
        f"Install it with `{INSTALL}`, or set codexSidecar.codex.path or {VARIABLE} to where it is.",
        {"PATH": env.get("PATH", "")},
    )


def _executable(name: str, env: Mapping[str, str]) -> str | None:
    if os.sep in name:
        # A relative path would mean something else in every working directory.
        return name if os.path.isabs(name) and os.access(name, os.X_OK) and os.path.isfile(name) else None
    folders = [folder for folder in env.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]
    return shutil.which(name, path=os.pathsep.join(folders)) if folders else None


def native_beside(path: str) -> Path | None:
    """The native binary of an npm launcher (or a link to one); None for anything else, or where it is not there."""
    launcher = Path(os.path.realpath(path))
    package = launcher.parent.parent
    if launcher.name != "codex.js" or package.parts[-2:] != ("@openai", "codex"):
        return None
    return next((native for native in _native_paths(package) if os.access(native, os.X_OK)), None)


def _native_paths(package: Path) -> Iterator[Path]:
    system, cpu = _SYSTEM.get(sys.platform), _CPU.get(platform.machine().lower())
    if system is None or cpu is None:
        return
    triple = f"{cpu[1]}-{system[1]}"
    name = f"codex-{system[0]}-{cpu[0]}"
    # Nested in the package (npm install -g), beside it (hoisted, pnpm), or in any node_modules further up.
    homes = [package / "node_modules" / "@openai" / name, package.parent / name]
    homes += [folder / "node_modules" / "@openai" / name for folder in package.parents]
    for home in [*homes, package]:
        for middle in ("bin", "codex"):
            yield home / "vendor" / triple / middle / "codex"


async def _ask_version(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[tuple[int, int, int] | None, str]:
    shown = shlex.join(argv)
    try:
        ran = await program.run([*argv, "--version"], env=env, cwd="/", seconds=VERSION_SECONDS)
    except OSError as exc:
        raise _not_found(f"{shown} cannot be started ({exc.strerror}).", env) from exc
    if ran.code is None:
        raise _not_found(f"`{shown} --version` gave no answer within {VERSION_SECONDS:g} s.", env)
    if ran.code != 0:
        said = " ".join(ran.stderr.split())[-300:]
        raise _not_found(f"`{shown} --version` failed with {ran.code}: {said or 'it said nothing'}.", env)
    banner = next((line.strip() for line in ran.stdout.splitlines() if line.strip()), "")[:200]
    found = _VERSION.search(ran.stdout)
    return ((int(found[1]), int(found[2]), int(found[3])) if found else None), banner

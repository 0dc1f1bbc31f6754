"""`report`: a run as one HTML page."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from sidecar import __version__
from sidecar.cli import exits
from sidecar.cli.command import Command
from sidecar.cli.connect import connect
from sidecar.cli.output import Output, one_line
from sidecar.cli.wording import for_terminal
from sidecar.model.errors import SidecarError, invalid
from sidecar.service.client import place_of

DESCRIPTION = """\
Writes one HTML page that shows a run: who ran when and did what, which worker touched which file, conflicts, repairs,
answers and tokens. The page is complete in itself; it lies beside the sidecar's own state, outside the work tree,
unless --out says otherwise. It holds commands and answers as they are, so look through it before you pass it on.
"""


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", default=None, help="Write the page there.")
    parser.add_argument("--open", action="store_true", help="Show the page in your browser.")
    parser.add_argument(
        "--run", metavar="RUNID", default=None, help="Which run. Default: the open one, else the newest workers."
    )


async def _run(found: argparse.Namespace, out: Output) -> int:
    from sidecar.report.gather import gather
    from sidecar.report.page import page

    place = place_of(Path(found.repo) if found.repo is not None else None)
    if found.out is not None:
        _check_target(found.out)
    async with connect(found.repo) as client:
        report = await gather(client.call, place.top, __version__, run_id=found.run, wording=for_terminal)
    target = Path(os.path.abspath(found.out)) if found.out is not None else Path(place.state_dir, _name(report.run_id))
    data = (await asyncio.to_thread(page, report)).encode("utf-8", "replace")
    await asyncio.to_thread(_write, target, data, private=found.out is None)
    answer: dict[str, Any] = {
        "path": str(target),
        "runId": report.run_id,
        "workers": len(report.workers),
        "openConflicts": sum(conflict.state == "open" for conflict in report.conflicts),
        "bytes": len(data),
    }
    out.result(answer, one_line(str(target)))
    if found.open and not await asyncio.to_thread(webbrowser.open, target.as_uri()):
        out.note("no browser could be started; open the file yourself.")
    return exits.DONE


def _name(run_id: str | None) -> str:
    """`report-<run>.html`; the page of a newer look at the same run replaces the older one."""
    words = re.sub(r"[^A-Za-z0-9.-]+", "-", (run_id or "").removeprefix("run-"))[:64].strip(".-")
    return f"report-{words}.html" if words else "report.html"


def _check_target(out: str) -> None:
    if not out or Path(out).is_dir():
        raise invalid("--out", f"{out[:200]!r} is not a file's name", "Name the file, for instance run.html.")
    if not Path(out).absolute().parent.is_dir():
        raise invalid("--out", f"there is no directory {str(Path(out).parent)[:200]!r}", "Make it first.")


def _write(target: Path, data: bytes, *, private: bool) -> None:
    """All or nothing, except where the target is a pipe or a device. Blocks.

    Raises:
        SidecarError: `state-unavailable`.
    """
    try:
        target = Path(os.path.realpath(target))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        fd, name = tempfile.mkstemp(prefix=".report-", dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            if not private:
                os.chmod(name, _mode_of(target))
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as exc:
        raise SidecarError(
            "state-unavailable",
            f"The page could not be written to {str(target)[:200]} ({exc.strerror or exc}).",
            "Name another file with --out.",
        ) from exc


def _mode_of(target: Path) -> int:
    """What a new file gets, or what an older page has."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


COMMAND = Command(
    name="report",
    summary="write one HTML page that shows a run: timeline, files, conflicts, repairs, tokens",
    add_flags=_add_flags,
    run=_run,
    description=DESCRIPTION,
)

"""The log file, written by a process of its own because it takes that process's standard error along."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, logging, os, sys
from pathlib import Path
from sidecar.service import logs
logs.LOG_BYTES = 4000
listener = logs.set_up(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
log = logging.getLogger("sidecar.x")
BODY
listener.stop()
"""


def run(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("BODY", body), *arguments], capture_output=True, text=True, check=True
    )


def test_records_have_time_level_and_name_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.log"
    body = (
        "log.info('hello'); log.debug('too small')\n"
        "logging.getLogger('pygls.x').info('a whole message'); logging.getLogger('mcp.x').info('a whole message')\n"
        "logging.getLogger('pygls.x').warning('trouble'); log.info('odd %s', 'a\\udcffb')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('it failed')\n"
    )
    done = run(body, str(path))
    text = path.read_text()
    lines = text.splitlines()
    assert (done.stdout, done.stderr) == ("", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert lines[0][10:11] == " "
    assert lines[0][23:24] == "Z"
    assert lines[0].endswith("sidecar.x: hello")
    assert "too small" not in text
    assert "a whole message" not in text
    assert "trouble" in text
    assert "a\\udcffb" in text
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_it_is_turned_over_and_standard_error_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.log"
    body = "for n in range(200): log.info('number %d', n)\nlistener.stop(); os.write(2, b'last words'); sys.exit()"
    run(body, str(path))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["sidecar.log", "sidecar.log.1"]
    assert all(entry.stat().st_size <= 4100 for entry in tmp_path.iterdir())
    assert all(stat.S_IMODE(entry.stat().st_mode) == 0o600 for entry in tmp_path.iterdir())
    assert "number 199" in path.read_text()
    assert path.read_text().endswith("last words")


def test_without_a_file_only_warnings_go_to_standard_error() -> None:
    done = run("log.info('quiet'); log.warning('loud')")
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("loud\n")


def test_stalls_of_the_loop_are_seen_at_level_debug(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.log"
    body = (
        "import time\n"
        "async def main():\n"
        "    watch = asyncio.create_task(logs.watch_stalls())\n"
        "    await asyncio.sleep(0.05); time.sleep(0.2); await asyncio.sleep(0.05); watch.cancel()\n"
        "logging.getLogger('sidecar').setLevel(logging.DEBUG)\n"
        "asyncio.run(main())\n"
    )
    run(body, str(path))
    assert "the loop was busy for" in path.read_text()

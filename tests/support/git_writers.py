"""A process that writes into a work tree as fast as it can: `git_writers.py append|replace TOP NAME SECONDS`.

Prints one JSON object: `written` (lines it appended, or versions that somebody else took away), and `count`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path


def append(top: Path, name: str, end: float) -> dict[str, object]:
    """Appends numbered lines to shared files, opening them each time, as a shell's `>>` does."""
    rng = random.Random(name)
    written = []
    while time.monotonic() < end:
        line = f"{name} {len(written)}\n"
        fd = os.open(top / f"shared{rng.randrange(5)}.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)
        written.append(line.strip())
        time.sleep(0.0002)
    return {"written": written, "count": len(written)}


def replace(top: Path, name: str, end: float) -> dict[str, object]:
    """Replaces a file by new versions, as editors do. A version counts once somebody else has taken it away."""
    taken_away = []
    count = 0
    last = ""
    path, temporary = top / "replaced.txt", top / f".{name}.tmp"
    while time.monotonic() < end:
        try:
            if last and path.read_text().strip() != last:
                taken_away.append(last)
            last = f"{name} version {count}"
            temporary.write_text(last + "\n")
            os.replace(temporary, path)
            count += 1
        except FileNotFoundError:
            last = ""  # The temporary file was taken away, or the file itself; what was there last is not known.
        time.sleep(0.0005)
    return {"written": taken_away, "count": count}


if __name__ == "__main__":
    kind, top, name, seconds = sys.argv[1:]
    work = append if kind == "append" else replace
    print(json.dumps(work(Path(top), name, time.monotonic() + float(seconds))))

"""`python -m benchmarks`: measures, prints the table, and with --write keeps it in docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from pathlib import Path

from benchmarks import a2, jobs
from benchmarks.measure import Figure, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


async def measure() -> list[Figure]:
    return await jobs.figures() + await a2.figures()


def write(text: str, begin: str = BEGIN, end: str = END) -> None:
    """Puts a table between its marks in docs/performance.md."""
    page = PAGE.read_text()
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/performance.md")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    figures = asyncio.run(measure())
    if options.json:
        print(json.dumps([{**vars(one), "ratio": one.ratio, "met": one.met} for one in figures]))
        return 0
    text = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}\n\n{table(figures)}"
    print(text)
    if options.write:
        write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

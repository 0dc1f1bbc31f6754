"""A process that repairs a conflict, to be killed at any moment.

Usage: python -m tests.support.repair_program REPO STRATEGY

Prints `ready` when the preview is there and `done` when the repair was answered.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.round import open_round


async def main(repo: Path, strategy: str) -> None:
    async with open_round(repo) as round_:
        (conflict,) = await round_.conflicts()
        asked = {"conflictId": conflict["conflictId"], "strategy": strategy}
        if strategy == "keep":
            asked["jobId"] = conflict["jobs"][0]["jobId"]
        preview = await round_.call("codex_resolve", **asked)
        print("ready", flush=True)
        await round_.call("codex_resolve", **asked, token=preview["token"])
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

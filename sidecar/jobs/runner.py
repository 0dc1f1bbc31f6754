"""One small process for each attempt of a worker: `python -I -S runner.py <attempt directory>`.

It starts the worker, stops it when told or when its time is over, ends whatever the worker leaves behind, and records
how it ended. It needs nobody: the sidecar may die, be replaced or come back, the worker does not notice.

This file is compiled anew at every start, so it holds the door only; what it does is in `supervision`, which Python
keeps compiled. Nothing but the standard library and three import-free files beside this one is ever loaded:
a start takes half the time of one that goes through `site`, and a broken installation does not break running workers.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the attempt whose directory is the only argument; never returns. Exit codes: see `supervision.run`."""
    if len(sys.argv) != 2:
        sys.exit("usage: runner.py <attempt directory>")
    # Last in the path: everything of the standard library comes from the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    supervision = __import__("sidecar.jobs.supervision", fromlist=["run"])
    # Leaving without the interpreter's own tidying up saves milliseconds between the worker's end and its being known.
    os._exit(supervision.run(sys.argv[1]))


if __name__ == "__main__":
    main()

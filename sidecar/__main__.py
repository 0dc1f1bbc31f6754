"""`python -m sidecar`: the same as `codex-sidecar`, for an interpreter whose scripts are not on PATH."""

from __future__ import annotations

import sys

from sidecar.entry import main

if __name__ == "__main__":
    sys.exit(main())

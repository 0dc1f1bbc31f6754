"""Pages that are made from the code, and the few promises of the README that a test can see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_page_of_tools_is_as_the_table_says() -> None:
    script = ROOT / "scripts" / "tools_page.py"
    assert subprocess.run([sys.executable, str(script), "--check"]).returncode == 0, "run python scripts/tools_page.py"


def test_the_types_of_the_extension_are_those_of_the_server() -> None:
    done = subprocess.run([sys.executable, "-m", "scripts.protocol_types", "--check"], cwd=ROOT)
    assert done.returncode == 0, "run python -m scripts.protocol_types"


def test_links_between_our_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_gives_the_two_commands_on_its_first_screen() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen


def test_the_changelog_names_this_version() -> None:
    from sidecar import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()

"""The invariants of docs/architecture.md, one test for each."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "sidecar"

# From the top down: a room imports only rooms further down. Rooms of one line do not import each other.
ROOMS = (
    {"__main__"},
    {"entry"},
    {"cli"},
    {"demo", "report", "bosses"},
    {"pump"},
    {"service"},
    {"lsp", "mcp"},
    {"tools"},
    {"a2"},
    {"jobs"},
    {"worker"},
    {"git"},
    {"model"},
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}

# The few places where the inside must be named from below: types only, or the one wiring.
ALLOWED_UPWARD = {
    ("tools", "service"): "tools.caller names the core as a type; the service hands it in",
    ("lsp", "service"): "types only",
    ("mcp", "service"): "types only",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, only_at_run_time: bool = False) -> Iterator[str]:
    """Names of all imported modules; `if TYPE_CHECKING:` blocks are left out on request."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if only_at_run_time:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                skipped.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def users_of(library: str) -> set[str]:
    return {
        room_of(path)
        for path in modules()
        if any(name == library or name.startswith(library + ".") for name in imports(path))
    }


def test_only_lsp_knows_the_language_server_protocol() -> None:
    assert users_of("pygls") | users_of("lsprotocol") == {"lsp"}


def test_only_mcp_knows_the_model_context_protocol() -> None:
    assert users_of("mcp") | users_of("mcp_types") == {"mcp"}


def test_only_git_knows_git() -> None:
    assert users_of("git") | users_of("gitdb") == {"git"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    mine = room_of(path)
    if mine == "__init__":
        return
    for name in imports(path, only_at_run_time=True):
        parts = name.split(".")
        if parts[0] != "sidecar" or len(parts) < 2 or parts[1] not in LEVEL or parts[1] == mine:
            continue
        assert LEVEL[parts[1]] > LEVEL[mine] or (mine, parts[1]) in ALLOWED_UPWARD, f"{path} imports {name}"


def test_only_worker_knows_what_codex_prints() -> None:
    words = re.compile(
        r"[\"'](thread\.started|turn\.(started|completed|failed)|item\.(started|updated|completed))[\"']"
    )
    knowing = {room_of(path) for path in modules() if words.search(path.read_text())}
    assert knowing <= {"worker", "demo"}, "the demo's scripted parts speak Codex's language, nobody else"
    assert "worker" in knowing


@pytest.mark.parametrize("frontend", ["lsp", "mcp"])
def test_the_pump_imports_the_standard_library_only(frontend: str) -> None:
    code = (
        "import sys; before = set(sys.modules); import sidecar.entry, sidecar.pump; "
        "print(*sorted(name.split('.')[0] for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    foreign = {name for name in done.stdout.split() if name not in sys.stdlib_module_names and name != "sidecar"}
    assert foreign == set()


def test_the_language_server_never_imports_mcp_or_git_at_its_start() -> None:
    code = "import sys, sidecar.service.core, sidecar.lsp.connection; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"mcp", "git", "rich"} & set(done.stdout.split())


def test_the_runner_imports_nothing_of_the_package() -> None:
    names = set(imports(PACKAGE / "jobs" / "runner.py"))
    assert not any(name.startswith("sidecar") for name in names)
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_nothing_swallows_an_error_in_silence() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and all(isinstance(inner, ast.Pass) for inner in node.body):
                pytest.fail(f"{path}:{node.lineno} swallows an exception; say why with contextlib.suppress, or log it")


def test_nothing_blocks_the_loop_by_sleeping_or_by_waiting_for_a_process() -> None:
    # The runner, the pump and the programs started by hand have no loop; git is always called in a thread.
    exempt = {PACKAGE / "pump.py", PACKAGE / "service" / "launch.py"}
    exempt |= {*(PACKAGE / "demo").glob("*.py"), *(PACKAGE / "git").glob("*.py")}
    for path in modules():
        if path in exempt:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in ("time.sleep", "subprocess.run", "subprocess.check_output", "os.system"), (
                    f"{path}:{node.lineno} calls {called}"
                )


def test_every_module_says_why_it_exists() -> None:
    silent = [
        path
        for path in modules()
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    missing = [room for room in LEVEL if not room.startswith("__") and f"`{room}" not in text]
    assert missing == []

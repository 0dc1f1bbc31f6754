"""Every test runs sealed off: an own HOME, no user or system git configuration, nothing of the caller's environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# In CI a red run must come back: every change is tried with the same examples, and people's runs look for new ones.
# How long an example takes says more of the machine than of the code, so no test fails for it.
settings.register_profile("people", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("people"), derandomize=True)
_CI = os.environ.get("CI") == "true"
settings.load_profile("ci" if _CI else "people")
if _CI:
    # Constants of the modules that are loaded are tried, too, and which those are depends on the tests before.
    assert callable(providers._get_local_constants), "this version takes them from elsewhere"
    providers._get_local_constants = lambda: providers._local_constants

_KEPT = {"PATH", "LANG", "LC_ALL", "CI", "PYENV_ROOT", "PYENV_VERSION", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"}


@pytest.fixture(autouse=True)
def hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An environment that is the same on every machine."""
    for name in list(os.environ):
        if name not in _KEPT and not name.startswith(("PYTEST", "_PYTEST")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    fixed = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(_private(home / "run")),
        "XDG_CACHE_HOME": str(home / "cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ann Author",
        "GIT_AUTHOR_EMAIL": "ann@example.org",
        "GIT_COMMITTER_NAME": "Ann Author",
        "GIT_COMMITTER_EMAIL": "ann@example.org",
        "GIT_EDITOR": "false",
        "TERM": "dumb",
        # Without one, Python adds LC_CTYPE to its own environment and its children's.
        "LC_ALL": "C.UTF-8",
    }
    for name, value in fixed.items():
        monkeypatch.setenv(name, value)


def _private(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begins with what takes long, so that the processes of a run end together.

    Each process is given an equal part of the list and steals from the end of the others': the windows stand at the
    head of the first part and stay whole, what else is slow at the heads of the rest, and what is quick is left to be
    stolen.
    """
    parts = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    windows = [item for item in items if item.path.name.startswith("test_vscode")]
    slow = [item for item in items if item.get_closest_marker("slow") and item not in windows]
    heavy = {*windows, *slow}
    quick = [item for item in items if item not in heavy]
    share = -(-len(slow) // max(1, parts - 1))
    heads = [windows, *(slow[at : at + share] for at in range(0, len(slow), share or 1))]
    size = len(items) // parts
    items[:] = []
    for head in heads:
        room = max(0, size - len(head))
        items += [*head, *quick[:room]]
        quick = quick[room:]
    items += quick


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that counts what was skipped and why."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] = reasons.get(reason.removeprefix("Skipped: "), 0) + 1
    said = "; ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items())) or "none"
    terminalreporter.write_line(f"skipped: {sum(reasons.values())} ({said})")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where CI=true a skipped test is a missing part, so it fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _CI and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

"""How Codex is called: arguments, configuration values, and what is refused."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.model.errors import SidecarError
from sidecar.model.job import Job
from sidecar.worker.command import build_argv, build_env, filter_extra_args
from sidecar.worker.config_check import VALUE_BYTES, check_config
from sidecar.worker.toml_text import to_toml
from sidecar.worker.user_config import Orchestrator, is_orchestrator, load_user_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def job(**facts: Any) -> Job:
    fixed: dict[str, Any] = {
        "job_id": "abc",
        "number": 1,
        "title": "t",
        "sandbox": "workspace-write",
        "status": "starting",
        "working_directory": "/repo",
        "timeout_ms": 1000,
        "created_at": 0.0,
    }
    return Job(**{**fixed, **facts})


def argv(one: Job, **facts: Any) -> list[str]:
    fixed: dict[str, Any] = {
        "program": ["/bin/codex"],
        "extra_args": [],
        "files": Path("/files"),
        "top": "/repo",
        "tmpdir": Path("/tmp-of-job"),
        "instructions": "rules",
    }
    return list(build_argv(one, **{**fixed, **facts}))


def overrides(arguments: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(arguments) if option == "-c"]


def test_a_write_job() -> None:
    got = argv(job())
    assert got[:2] == ["/bin/codex", "exec"]
    assert got[-1] == "-"
    for pair in (["-s", "workspace-write"], ["-C", "/repo"], ["--add-dir", "/tmp-of-job"],
                 ["--output-schema", "/files/report-schema.json"], ["-o", "/files/last-message.txt"]):  # fmt: skip
        assert pair in [got[index : index + 2] for index in range(len(got))]
    assert "--json" in got
    assert overrides(got) == [
        "features.unbounded_connection_retries=false",
        "sandbox_workspace_write.exclude_slash_tmp=true",
        "sandbox_workspace_write.exclude_tmpdir_env_var=true",
        "agents.enabled=false",
        'developer_instructions="rules"',
    ]


@pytest.mark.parametrize("sandbox", ["read-only", "danger-full-access"])
def test_other_sandboxes_get_no_writable_directories(sandbox: str) -> None:
    got = argv(job(sandbox=sandbox))
    assert got[got.index("-s") + 1] == sandbox
    assert "--add-dir" not in got
    assert not [one for one in overrides(got) if "workspace_write" in one]


def test_a_worker_in_a_subdirectory_may_write_the_whole_repository(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    got = argv(job(working_directory=str(tmp_path / "sub")), top=str(tmp_path))
    assert got[got.index("-C") + 1] == str(tmp_path / "sub")
    assert [got[index + 1] for index, one in enumerate(got) if one == "--add-dir"] == ["/tmp-of-job", str(tmp_path)]


def test_resuming_keeps_all_options_before_the_subcommand() -> None:
    got = argv(job(resume_thread="01a2-thread"))
    assert got[-3:] == ["resume", "01a2-thread", "-"]
    assert got[: got.index("resume")] == argv(job())[:-1]


def test_model_effort_and_config() -> None:
    config = {"a.b": 'x\n"y"', "n": 3, "f": 1.5, "flag": True, "list": ["p", 1], "table": {"k": {"l v": False}}}
    got = argv(job(model="gpt-x", reasoning_effort="high", config=config))
    assert got[got.index("-m") + 1] == "gpt-x"
    given = overrides(got)
    assert 'model_reasoning_effort="high"' in given
    for key, value in config.items():
        literal = next(one for one in given if one.startswith(f"{key}=")).partition("=")[2]
        assert tomllib.loads(f"v = {literal}") == {"v": value}
    # Of several values Codex takes the last: the contract's come behind the job's.
    assert given.index("agents.enabled=false") > given.index("n=3")
    assert given.index("features.unbounded_connection_retries=false") < given.index("n=3")


def test_extra_arguments_come_first_and_cannot_replace_ours() -> None:
    extra = [
        "-p",
        "fast",
        "-s",
        "danger-full-access",
        "--sandbox=danger-full-access",
        "-sdanger-full-access",
        "-C",
        "/x",
    ]
    extra += ["--json", "-o", "/stale", "--output-schema=/y", "-c", "model_verbosity=low", "-m", "theirs"]
    got = argv(job(), extra_args=extra)
    assert got[2:8] == ["-p", "fast", "-c", "model_verbosity=low", "-m", "theirs"]
    assert [one for one in got if "danger" in one] == []
    assert got.count("--json") == got.count("-o") == got.count("-s") == got.count("-C") == 1
    assert "theirs" not in argv(job(model="ours"), extra_args=extra)


@pytest.mark.parametrize(
    "argument",
    [
        "--dangerously-bypass-approvals-and-sandbox",
        "--yolo",
        "--approve-for-me",
        "--worktree",
        "--full-auto",
        "--",
        "-",
    ],
)
def test_extra_arguments_that_break_the_contract_are_refused(argument: str) -> None:
    with pytest.raises(SidecarError, match=r"codexSidecar\.codex\.extraArgs") as caught:
        filter_extra_args(["-c", "x=1", argument], drop_model=False)
    assert caught.value.kind == "invalid-arguments"


def test_orchestrators_are_disabled_with_their_transport() -> None:
    listed = [Orchestrator("w", ("command", "/usr/bin/codex-sidecar")), Orchestrator("u", ("url", "http://x")),
              Orchestrator("odd", None)]  # fmt: skip
    given = overrides(argv(job(), orchestrators=listed))
    assert given[-5:] == [
        'mcp_servers.w.command="/usr/bin/codex-sidecar"',
        "mcp_servers.w.enabled=false",
        'mcp_servers.u.url="http://x"',
        "mcp_servers.u.enabled=false",
        "mcp_servers.odd.enabled=false",
    ]


def test_instructions_that_no_command_line_holds_are_refused() -> None:
    with pytest.raises(SidecarError, match="developer_instructions") as caught:
        argv(job(), instructions="x" * (VALUE_BYTES + 1))
    assert caught.value.kind == "limit-reached"


def test_the_environment() -> None:
    env = {"PATH": "/bin", "TMPDIR": "/tmp", "CODEX_HOME": "/h", "CODEX_SIDECAR_CODEX": "x", "CODEX_SIDECAR_JOB": "y"}
    assert build_env(env, Path("/t")) == {"PATH": "/bin", "TMPDIR": "/t", "CODEX_HOME": "/h"}


# -- check_config -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"sandbox_mode": "danger-full-access"}, "sandbox_mode"),
        ({"default_permissions": ":danger-full-access"}, "default_permissions"),
        ({"permissions.x.network": True}, "permissions.x.network"),
        ({"sandbox_workspace_write.exclude_slash_tmp": False}, "sandbox_workspace_write.exclude_slash_tmp"),
        ({"sandbox_workspace_write": {"exclude_tmpdir_env_var": False}}, "sandbox_workspace_write"),
        ({"approval_policy": "on-request"}, "approval_policy"),
        ({"agents.enabled": True}, "agents.enabled"),
        ({"agents": {"max_threads": 9}}, "agents"),
        ({"features.multi_agent": True}, "features.multi_agent"),
        ({"features": {"multi_agent_v2": {"enabled": True}}}, "features"),
        ({"developer_instructions": "no rules"}, "developer_instructions"),
        ({"mcp_servers.codex-cli-wrapper.enabled": True}, "mcp_servers.codex-cli-wrapper.enabled"),
        ({"mcp_servers.codex_cli_wrapper": {"command": "x"}}, "mcp_servers.codex_cli_wrapper"),
        ({"mcp_servers.mine": {"command": "/bin/codex-sidecar", "args": ["mcp"]}}, "mcp_servers.mine"),
        ({"mcp_servers": {"mine": {"command": "python", "args": ["-m", "sidecar", "mcp"]}}}, "mcp_servers"),
        ({"mcp_servers.mine.command": "codex-sidecar"}, "mcp_servers.mine.command"),
        ({"a..b": 1}, "a..b"),
        ({'a."b"': 1}, 'a."b"'),
        ({"x": [1, {"y": None}]}, "x"),
        ({"x": 2**63}, "x"),
        ({"x": "\ud800"}, "x"),
        ({"x": "y" * (VALUE_BYTES + 1)}, "x"),
    ],
)
def test_config_that_breaks_the_contract_is_refused_by_name(config: dict[str, Any], named: str) -> None:
    with pytest.raises(SidecarError) as caught:
        check_config(config)
    assert caught.value.kind == "invalid-arguments"
    assert caught.value.details["field"] == f"config.{named}"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_reasoning_effort": "high", "model_verbosity": "low"},
        {"shell_environment_policy": {"inherit": "core", "set": {"A": "b"}}},
        {"shell_environment_policy.set.AGENTS": "x"},
        {"sandbox_workspace_write.network_access": True},
        {"sandbox_workspace_write": {"writable_roots": ["/data"]}},
        {"mcp_servers.docs": {"command": "docs-server", "args": ["mcp"]}},
        {"mcp_servers.docs.enabled": False},
        {"features.goals": False},
        {"tools.view_image": False},
        {"model_providers.x": {"name": "x", "base_url": "http://127.0.0.1/v1"}},
        {"projects./repo.trust_level": "trusted"},
    ],
)
def test_other_config_is_taken(config: dict[str, Any]) -> None:
    check_config(config)


# -- TOML -------------------------------------------------------------------------------------------------------

toml_values = st.recursive(
    st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(toml_values)
@example({"0\n": False})
@settings(max_examples=300, deadline=None)
def test_toml_comes_back_as_it_was(value: Any) -> None:
    text = to_toml(value)
    assert "\n" not in text
    assert tomllib.loads(f"v = {text}") == {"v": value}


@pytest.mark.parametrize("value", [None, [None], {"a": None}, 2**64, object(), {1: 2}, "\udfff"])
def test_what_toml_does_not_have(value: Any) -> None:
    with pytest.raises(ValueError, match=r"null|key|bits|object|surrogate"):
        to_toml(value)


# -- the user's own configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("codex-cli-wrapper", {}, True),
        ("Codex_Cli_Wrapper", None, True),
        ("x", {"command": "/opt/bin/codex-sidecar", "args": ["mcp"]}, True),
        ("x", {"command": "uvx", "args": ["codex-sidecar", "mcp"]}, True),
        ("x", {"command": "/v/bin/python", "args": ["-m", "sidecar.entry", "mcp"]}, True),
        ("x", {"command": "codex-sidecar", "args": ["status"]}, False),
        ("x", {"command": "docs", "args": ["mcp"]}, False),
        ("x", {"url": "http://x"}, False),
        ("x", {"command": 3, "args": "mcp"}, False),
        ("x", 7, False),
    ],
)
def test_orchestrators_are_known_by_name_and_by_command(name: str, entry: Any, expected: bool) -> None:
    assert is_orchestrator(name, entry) is expected


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_layers_of_the_users_configuration(tmp_path: Path) -> None:
    home, top = tmp_path / "home", tmp_path / "repo"
    sub = top / "sub"
    sub.mkdir(parents=True)
    env = {"CODEX_HOME": str(home)}

    def said(*extra: str, directory: Path = sub) -> str | None:
        return load_user_config(env, str(directory), str(top), extra).developer_instructions

    assert said() is None
    write(home / "config.toml", 'developer_instructions = "user"')
    assert said() == "user"
    write(home / "fast.config.toml", 'developer_instructions = "profile"')
    assert said() == "user"
    assert said("-p", "fast") == said("--profile=fast") == said("-pfast") == "profile"
    write(top / ".codex/config.toml", 'developer_instructions = "project"')
    assert said() == "user", "a project that is not trusted says nothing"
    write(home / "config.toml", f'developer_instructions = "user"\n[projects."{top}"]\ntrust_level = "trusted"')
    assert said() == said(directory=top) == "project"
    write(sub / ".codex/config.toml", 'developer_instructions = "sub"')
    assert said() == "sub"
    assert said(directory=top) == "project"
    assert said("-c", 'developer_instructions="here"') == said("--config=developer_instructions=here") == "here"
    assert said("--ignore-user-config") is None
    write(home / "config.toml", "developer_instructions = broken")
    assert said() is None


def test_trust_of_a_linked_work_tree_is_that_of_the_main_one(tmp_path: Path) -> None:
    home, main, linked = tmp_path / "home", tmp_path / "main", tmp_path / "linked"
    write(home / "config.toml", f'[projects."{main}"]\ntrust_level = "trusted"')
    write(linked / ".git", f"gitdir: {main}/.git/worktrees/linked\n")
    write(linked / ".codex/config.toml", 'developer_instructions = "project"')
    config = load_user_config({"CODEX_HOME": str(home)}, str(linked), str(linked))
    assert config.developer_instructions == "project"


def test_listed_orchestrators(tmp_path: Path) -> None:
    write(
        tmp_path / "config.toml",
        '[mcp_servers.codex-cli-wrapper]\ncommand = "codex-sidecar"\nargs = ["mcp"]\n'
        '[mcp_servers.remote]\nurl = "http://x"\n'
        '[mcp_servers.off]\ncommand = "codex-sidecar"\nargs = ["mcp"]\nenabled = false\n'
        '[mcp_servers.other]\ncommand = "/v/codex-sidecar"\nargs = ["--repo", "/r", "mcp"]\n',
    )
    config = load_user_config({"CODEX_HOME": str(tmp_path)}, "/r", "/r")
    assert config.orchestrators == [
        Orchestrator("codex-cli-wrapper", ("command", "codex-sidecar")),
        Orchestrator("other", ("command", "/v/codex-sidecar")),
    ]

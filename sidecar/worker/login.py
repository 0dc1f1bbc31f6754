"""Whether Codex can reach a model: is it logged in, or does its provider need no login?"""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.model.outputs import CheckOutput
from sidecar.worker import program
from sidecar.worker.find import Codex
from sidecar.worker.user_config import UserConfig

SECONDS = 10.0
_KEY_VARIABLES = ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN")
_BUILT_IN_WITHOUT_LOGIN = frozenset({"ollama", "lmstudio", "oss", "amazon-bedrock"})
_HINT = "Run `codex login`, or name another model_provider in Codex's config.toml."


async def check_login(codex: Codex, config: UserConfig, env: Mapping[str, str]) -> CheckOutput:
    """The check `login` of the doctor; asks Codex only where a login is needed."""
    name, provider = config.provider
    variable = provider.get("env_key")
    if isinstance(variable, str) and variable and not env.get(variable):
        message = f"The model provider {name!r} takes its key from {variable}, which is not set."
        return _check(False, message, f"Set {variable} where the front end is started.", provider=name)
    needs_login = name == "openai" if not provider else provider.get("requires_openai_auth") is True
    if name in _BUILT_IN_WITHOUT_LOGIN or not needs_login:
        return _check(True, f"The model provider {name!r} needs no login.", provider=name)
    for key in _KEY_VARIABLES:
        if env.get(key):
            return _check(True, f"The key in {key} is used.", provider=name)
    try:
        ran = await program.run([*codex.argv, "login", "status"], env=env, cwd="/", seconds=SECONDS)
    except OSError as exc:
        return _check(False, f"Codex cannot be asked for its login ({exc.strerror}).", _HINT, provider=name)
    said = " ".join((ran.stdout + ran.stderr).split())[:300]
    return _check(ran.code == 0, said or f"`codex login status` ended with {ran.code}.", _HINT, provider=name)


def _check(ok: bool, message: str, hint: str = "", **details: object) -> CheckOutput:
    return CheckOutput(
        name="login", ok=ok, required=True, message=message, hint="" if ok else hint, details=dict(details)
    )

"""The real, pinned Codex CLI of the tests, and a CODEX_HOME that points it to a scripted model."""

from __future__ import annotations

import platform
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
_CPU = {"x86_64": ("x64", "x86_64"), "aarch64": ("arm64", "aarch64"), "arm64": ("arm64", "aarch64")}


def native_codex() -> Path:
    """The native binary that `npm ci` in tests/codex installed; FileNotFoundError says how to get it."""
    npm, rust = _CPU[platform.machine()]
    package = TESTS / "codex" / "node_modules" / "@openai" / f"codex-linux-{npm}"
    path = package / "vendor" / f"{rust}-unknown-linux-musl" / "bin" / "codex"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run `npm ci` in tests/codex (make test does it)")
    return path


def write_codex_home(home: Path, model_url: str, model: str = "gpt-5.5", extra: str = "") -> Path:
    """A CODEX_HOME whose model provider is the scripted model at `model_url` (ends in /v1)."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f'model = "{model}"\nmodel_provider = "scripted"\n{extra}\n'
        "[analytics]\nenabled = false\n\n[features]\nplugins = false\n\n"
        f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{model_url}"\nwire_api = "responses"\n'
        "requires_openai_auth = false\nsupports_websockets = false\n"
    )
    return home

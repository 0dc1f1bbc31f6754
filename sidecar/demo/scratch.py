"""The scratch repository of the demo, and the Codex configuration that points to the scripted model.

The demo plays the person here, so it calls git as a person does; what the product asks of git is in `sidecar.git`.
Everything blocks (git processes of a few milliseconds): call it in a thread.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

# A person's hooks, templates, signing key or default branch must not change what the demo does.
_GIT = (
    "git",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "core.autocrlf=false",
    "-c",
    "user.name=Codex Sidecar demo",
    "-c",
    "user.email=demo@localhost",
)


class Scratch:
    """A directory of the demo's own: `repo` is a repository with one commit, `codex_home` the worker's CODEX_HOME.

    Raises:
        OSError: no directory, or no git, could be had.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        # A name that the person's eye and the sandbox see is the real one: /tmp may be a symbolic link.
        self.directory = Path(os.path.realpath(tempfile.mkdtemp(prefix="codex-sidecar-demo-")))
        self.repo = self.directory / "weather"
        self.codex_home = self.directory / "codex-home"
        try:
            self._fill(files)
        except BaseException:
            self.remove()
            raise

    def _fill(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            target = self.repo / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
        self.git("init", "--quiet", "--template=", "--initial-branch=main")
        self.commit("A small weather package")
        self.codex_home.mkdir(mode=0o700)

    def point_codex_to(self, model_url: str) -> None:
        """Writes the configuration of a Codex that asks the model at `model_url` (ends in `/v1`) and nobody else."""
        (self.codex_home / "config.toml").write_text(
            'model = "gpt-5.5"\nmodel_provider = "scripted"\n\n'
            "[analytics]\nenabled = false\n\n[features]\nplugins = false\n\n"
            f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{model_url}"\nwire_api = "responses"\n'
            "requires_openai_auth = false\nsupports_websockets = false\n"
        )

    def git(self, *arguments: str) -> str:
        """Runs git in the repository and returns what it printed.

        Raises:
            OSError: git is missing, or failed; the message holds what it said.
        """
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            [*_GIT, *arguments], cwd=self.repo, env=env, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode != 0:
            raise OSError(f"git {arguments[0]} failed: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def diff_stat(self) -> str:
        """`git diff --stat` against the commit, new files among them."""
        self.git("add", "--intent-to-add", "--all")
        return self.git("diff", "--stat", "--no-color", "--no-ext-diff", "HEAD").rstrip()

    def diff(self) -> str:
        """`git diff` against the commit, with little around each change."""
        return self.git("diff", "--unified=1", "--no-color", "--no-ext-diff", "HEAD").rstrip()

    def commit(self, message: str) -> None:
        """Commits everything, as the person who is content with it does."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")

    def differences(self, expected: Mapping[str, str]) -> list[str]:
        """Where the work tree is not `expected` (path → text): one sentence for each file."""
        found = []
        listed = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        present = set(filter(None, listed.split("\0")))
        for path in sorted(present | expected.keys()):
            file = self.repo / path
            if path not in expected:
                found.append(f"{path} should not be there")
            elif not file.is_file():
                found.append(f"{path} is missing")
            elif file.read_bytes() != expected[path].encode():
                found.append(f"{path} is not what the script wrote")
        return found

    def remove(self) -> None:
        """Deletes everything, read-only directories too.

        Raises:
            OSError: something could not be deleted.
        """
        for directory, _, _ in os.walk(self.directory):
            os.chmod(directory, stat.S_IRWXU)
        shutil.rmtree(self.directory)

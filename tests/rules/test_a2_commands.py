"""What the text of a command tells of the files it works on."""

from __future__ import annotations

import pytest

from sidecar.a2.commands import likely_paths, mentions, only_reads


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("cat src/a.py", "src/a.py", True),
        ("cd src && cat a.py", "src/a.py", True),
        ("cat ba.py", "a.py", False),
        ("cat a.pyc", "a.py", False),
        ("cat 'a.py'", "a.py", True),
        ("pytest", "a.py", False),
    ],
)
def test_which_files_a_command_mentions(text: str, path: str, said: bool) -> None:
    assert mentions(text, path) is said


def test_words_of_a_command_that_can_be_files() -> None:
    assert likely_paths("cd src && ./run.sh ./a.py b/c.txt /etc/x.y ../d.z -q .. a.py", 9) == [
        "run.sh",
        "a.py",
        "b/c.txt",
    ]
    assert likely_paths("a.1 a.2 a.3", 2) == ["a.1", "a.2"]


@pytest.mark.parametrize(
    "text",
    [
        "cat a.py",
        "sed -n 1,20p a.py | head -5",
        "while ! grep -qF 'return text' a.py; do sleep 0.02; done; sleep 0.3",
        "while ! grep -qF 'return text.lower()' a.py; do sleep 0.02; done; grep \"a > b\" a.py",
        "until [ -e ../a ]; do sleep 0.02; done",
        "cd src && rg needle a.py 2>/dev/null || true",
        "PYTHONPATH=. python3 -m pytest -q tests/test_a.py 2>&1 | tail -3",
        "pytest -x a.py",
        "git diff a.py; git --no-pager show HEAD",
        "if test -f a.py; then ls -l a.py; fi",
        "",
    ],
)
def test_commands_that_only_read(text: str) -> None:
    assert only_reads(text)


@pytest.mark.parametrize(
    "text",
    [
        "sed -i s/x/y/ a.py",
        "sed -ni.bak s/x/y/p a.py",
        "echo x > a.py",
        "echo x >> a.py",
        "cat <<EOF | tee a.py",
        "cp b.py a.py",
        "grep x a.py; mv b.py a.py",
        "python3 fix.py a.py",
        "python3 -c 'open(1)' a.py",
        "git checkout a.py",
        "git diff --output=a.py",
        "find . -name a.py -delete",
        "sort -o a.py a.py",
        "cat $(make a.py)",
        ". ./program a.py",
        "ruff format a.py",
        "bash -c 'rm a.py'",
        "'rm' a.py",
        'cat "$(make a.py)"',
    ],
)
def test_commands_that_may_write(text: str) -> None:
    assert not only_reads(text)

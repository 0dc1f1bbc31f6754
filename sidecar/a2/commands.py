"""What the text of a shell command tells of the files it works on. Pure, and a hint: any program may write any file.

A command that mentions a file may be what writes it. Many only read it, or wait for it; those are known by name, and
whatever is not known may write.
"""

from __future__ import annotations

import re

TEXT_CHARACTERS = 16_384
"""How much of a command's text is looked at."""
# fmt: off
_READING = frozenset((
    "[", "[[", "basename", "cat", "cd", "cmp", "cut", "date", "diff", "dirname", "echo", "egrep", "exit", "export",
    "false", "fgrep", "file", "find", "git", "grep", "head", "id", "jq", "less", "ls", "mypy", "nl", "od", "printf",
    "ps", "pwd", "pytest", "read", "realpath", "rg", "sed", "seq", "set", "sha256sum", "sleep", "sort", "stat",
    "strings", "tail", "test", "tr", "tree", "true", "type", "uname", "uniq", "unset", "wait", "wc", "which", ":",
))
# fmt: on
_GIT_READING = re.compile(r"git( -[^ ]+)* (blame|cat-file|diff|grep|log|ls-files|ls-tree|rev-parse|show|status)\b")
_RESERVED = re.compile(r"^(?:(?:while|until|if|elif|then|do|else|time|!|\{)\s+)+")
_ENDS = frozenset({"do", "done", "then", "else", "fi", "esac", "}", "{", "break", "continue"})
_ASSIGNMENT = re.compile(r"^(?:\w+=\S*\s+)+")
_QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")
_HARMLESS = re.compile(r"\d?>&\d|[\d&]?>>?\s*/dev/null")
_TESTS = re.compile(r"(?:\S*/)?python[\d.]*( -\w+)* -m (pytest|unittest|mypy)\b")
_IN_PLACE = re.compile(r"(^|\s)(-[a-zA-Z]*i\b|-i\S*|--in-place|-delete|-exec\w*|-ok\w*|-fprint\w*|--output\S*|-o\b)")


def mentions(text: str, path: str) -> bool:
    """Whether a command names the file: by its last part, as it may have changed its directory."""
    name = path.rpartition("/")[2]
    return name in text and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def likely_paths(text: str, limit: int) -> list[str]:
    """Words of a command that can be paths of files below its directory, the first `limit` of them."""
    words = (word.removeprefix("./") for word in re.findall(r"[\w.@+/-]+", text))
    return [word for word in dict.fromkeys(words) if "." in word.strip(".") and not word.startswith(("/", "-", "../"))][
        :limit
    ]


def only_reads(text: str) -> bool:
    """Whether a command is known not to write the files that it names; False where that is not sure."""
    text = _HARMLESS.sub(" ", _QUOTED.sub("Q", text))
    if ">" in text or "`" in text or "$(" in text or "<<" in text:
        return False
    for part in re.split(r"[;|&\n()]+", text):
        words = _ASSIGNMENT.sub("", _RESERVED.sub("", part.strip()))
        name = words.split(" ", 1)[0].rpartition("/")[2]
        if not words or words in _ENDS or _TESTS.match(words):
            continue
        if name not in _READING or (name == "git" and not _GIT_READING.match(words)):
            return False
        if name in ("sed", "find", "sort", "git") and _IN_PLACE.search(words):
            return False
    return True

"""Random schedules of workers and a person in one tree, thought through before they are played, so the truth is known.

Every line that anybody writes is a token of its own. A schedule is a list of steps in one order; each step says what
the files are after it, so that whoever plays it only has to copy, move or remove.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

PERSON = "user"
WORKERS = ("w1", "w2", "w3")
LINES = 6

Tree = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Step:
    """`open` and `close` are a command's begin and end, `write` is done in it, `patch` and `save` stand alone.

    `content` None: the path goes away, to `moved_to` where that is given.
    """

    actor: str
    kind: str
    path: str = ""
    before: tuple[str, ...] | None = None
    content: tuple[str, ...] | None = None
    moved_to: str | None = None


@dataclass
class Schedule:
    """Steps, and what is true of the tree after them."""

    seed: int
    base: Tree
    steps: list[Step] = field(default_factory=list)
    end: Tree = field(default_factory=dict)
    wrote: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Who made a line appear in a file, by path and line; nobody for what the baseline holds."""
    touched: dict[str, set[str]] = field(default_factory=dict)
    """Who changed, made or removed a path."""


class Author:
    """Makes one schedule."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._tokens = 0
        base = {f"f{n}.txt": tuple(f"base {n} {line}" for line in range(LINES)) for n in range(3)}
        self._done = Schedule(seed, base, end=dict(base))
        self._old: dict[str, list[tuple[str, ...]]] = {path: [lines] for path, lines in base.items()}
        self._busy: set[str] = set()
        self._names = len(base)

    def make(self, steps: int) -> Schedule:
        """A schedule of `steps` steps, plus those that end what is open."""
        for _ in range(steps):
            actor = self._rng.choice((*WORKERS, *WORKERS, PERSON))
            if actor == PERSON:
                self._change(actor, "save")
            elif actor in self._busy:
                if self._rng.random() < 0.3:
                    self._close(actor)
                else:
                    self._change(actor, "write")
            elif self._rng.random() < 0.4:
                self._change(actor, "patch")
            else:
                self._busy.add(actor)
                self._done.steps.append(Step(actor, "open"))
                self._change(actor, "write")
        for actor in sorted(self._busy):
            self._close(actor)
        return self._done

    def _close(self, actor: str) -> None:
        self._busy.discard(actor)
        self._done.steps.append(Step(actor, "close"))

    def _token(self, actor: str) -> str:
        self._tokens += 1
        return f"{actor} {self._tokens}"

    def _change(self, actor: str, kind: str) -> None:
        tree, rng = self._done.end, self._rng
        what = rng.choices(("edit", "rewrite", "stale", "new", "move", "delete"), (10, 3, 2, 2, 1.5, 1.5))[0]
        if what in ("move", "delete") and (len(tree) < 3 or kind == "save"):
            what = "edit"
        path = rng.choice(sorted(tree))
        lines = list(tree[path])
        if what == "new":
            path = self._name()
            self._put(actor, kind, path, tuple(self._token(actor) for _ in range(3)))
        elif what == "move":
            self._away(actor, kind, path, self._name())
        elif what == "delete":
            self._away(actor, kind, path, None)
        elif what == "rewrite":
            self._put(actor, kind, path, tuple(self._token(actor) for _ in range(LINES)))
        elif what == "stale":
            # Whoever started from an older text writes all of it back, with a line of its own.
            self._put(actor, kind, path, (*rng.choice(self._old[path]), self._token(actor)))
        else:
            at = rng.randrange(len(lines) + 1)
            lines[at : at + rng.choice((0, 1, 1, 2))] = [self._token(actor) for _ in range(rng.choice((1, 1, 2)))]
            self._put(actor, kind, path, tuple(lines))

    def _name(self) -> str:
        self._names += 1
        return f"f{self._names - 1}.txt"

    def _put(self, actor: str, kind: str, path: str, lines: tuple[str, ...]) -> None:
        before = self._done.end.get(path)
        self._done.steps.append(Step(actor, kind, path, before, lines))
        self._note(actor, path, before or (), lines)
        self._done.end[path] = lines
        self._old.setdefault(path, []).append(lines)

    def _away(self, actor: str, kind: str, path: str, moved_to: str | None) -> None:
        before = self._done.end.pop(path)
        self._done.steps.append(Step(actor, kind, path, before, None, moved_to))
        self._done.touched.setdefault(path, set()).add(actor)
        if moved_to is not None:
            self._done.end[moved_to] = before
            self._old[moved_to] = [before]
            self._note(actor, moved_to, (), before)

    def _note(self, actor: str, path: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        self._done.touched.setdefault(path, set()).add(actor)
        for line in after:
            if line not in before:
                self._done.wrote.setdefault((path, line), set()).add(actor)


def text(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)


def patch_text(step: Step) -> str:
    """The step in the form that Codex's `apply_patch` takes."""
    if step.content is None and step.moved_to is None:
        body = f"*** Delete File: {step.path}\n"
    elif step.before is None:
        body = f"*** Add File: {step.path}\n" + "".join(f"+{line}\n" for line in step.content or ())
    else:
        body = f"*** Update File: {step.path}\n"
        if step.moved_to is not None:
            first, *_ = step.before
            body += f"*** Move to: {step.moved_to}\n@@\n-{first}\n+{first}\n"
        else:
            body += "@@\n" + "".join(f"-{line}\n" for line in step.before)
            body += "".join(f"+{line}\n" for line in step.content or ())
    return f"*** Begin Patch\n{body}*** End Patch\n"

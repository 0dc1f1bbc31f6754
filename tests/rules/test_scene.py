"""In which order contents are known, and which are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from sidecar.a2.glimpses import GLIMPSE_BYTES, Glimpse, glimpse
from sidecar.a2.history import EMPTY, History, StoredVersion
from sidecar.a2.scene import CLOCK_SECONDS, KEPT_SECONDS, LATE_SECONDS, TOLD_SECONDS, Found, Scene
from sidecar.a2.versions import USER
from sidecar.a2.windows import Window
from sidecar.git.baseline import Baseline


def scene(*versions: StoredVersion) -> Scene:
    history = History("run", cast(Any, None), cast(Any, None))
    for version in versions:
        history._take(version)
    baseline = Baseline("run", "head", "tree", "ref", "commit", recorded_at=5.0, files=1, snapshot_id=None)
    made = Scene(history, baseline)
    made.changed_at = {one.seq: one.at for one in versions}
    return made


def version(seq: int, *writers: str, at: float = 10.0, oid: str | None = "a" * 40) -> StoredVersion:
    return StoredVersion("a", seq, oid, "100644", writers, "ambiguous" if len(writers) > 1 else "seen", at)


def seen(text: str, changed_at: float, began: float) -> Glimpse:
    return Glimpse(text.encode(), "100644", changed_at, began, began + 1)


def test_glimpses_come_before_what_was_read_after_them() -> None:
    made = scene()
    made.glimpses["a"] = [seen("old", 8, 9), seen("while", 11, 12), seen("newer", 15, 12), seen("later", 30, 31)]
    before = made.glimpses_before("a", Found("100644", "x", 14.0), 11.0, 20.0)
    assert [one.data for one in before] == [b"old", b"while"]
    assert [one.data for one in made.glimpses["a"]] == [b"newer", b"later"]


def test_a_glimpse_whose_place_in_the_order_cannot_be_told_is_dropped() -> None:
    made = scene()
    made.glimpses["a"] = [seen("same tick", 14, 12)]
    assert made.glimpses_before("a", Found("100644", "x", 14.0), 11.0, 20.0) == []
    assert made.glimpses == {}


def test_a_reading_that_another_overtook_is_not_the_newest() -> None:
    made = scene(version(1, "w1", at=10))
    made.note_read("a", 12)
    assert made.is_overtaken("a", Found("100644", "x", 9.0), 11.0)
    assert not made.is_overtaken("a", Found("100644", "x", 10.5), 11.0)
    assert not made.is_overtaken("a", Found("100644", "x", 9.0), 13.0), "a clock that was set back hides nothing"


def test_a_file_that_nobody_touched_since_the_baseline_is_the_baselines() -> None:
    assert not scene().is_fresh("a", 4.0)
    assert scene().is_fresh("a", 6.0)
    assert scene(version(1, "w1")).is_fresh("a", 4.0)


def test_up_to_when_everything_is_known() -> None:
    made = scene()
    made.looked_at, made.told_at = 10.0, 20.0
    assert made.since("a") == (20 - LATE_SECONDS, 20 - TOLD_SECONDS)
    made.note_read("a", 19.9)
    assert made.since("a") == (19.9, 20 - TOLD_SECONDS)
    assert made.since("a", 21) == (21, 21)


def test_a_patch_that_no_version_can_be_is_part_of_those_of_its_time() -> None:
    patch = Window("w2", "p", frozenset({"a"}), 10, 12)
    early, near, after = version(1, "w1", at=10 - KEPT_SECONDS - 1), version(2, "w1", at=9.5), version(3, "w1", at=13)
    (amended,) = scene(early, near, after).late(patch)
    assert (amended.seq, amended.writers, amended.attribution) == (2, ("w1", "w2"), "ambiguous")
    assert scene(near, version(4, "w2", at=11)).late(patch) == []
    assert scene(near, version(4, "w2", at=30, oid=None)).late(patch) == [], "it took the file away"
    assert scene(version(2, at=9.5)).late(patch) == [], "what a repair wrote is nobody's"


def test_where_its_own_version_may_be_anothers_a_persons_before_it_is_doubted_too() -> None:
    patch = Window("w2", "p", frozenset({"a"}), 10, 12)
    persons, shared = version(2, USER, at=10.5), version(3, "w1", "w2", at=11)
    (amended,) = scene(version(1, USER, at=9), persons, shared).late(patch)
    assert (amended.seq, amended.writers, amended.attribution) == (2, (USER, "w2"), "ambiguous")
    (amended,) = scene(version(2, "w1", USER, at=10.5), shared).late(patch)
    assert amended.writers == ("w1", USER, "w2")
    assert scene(version(2, "w1", at=10.5), shared).late(patch) == [], "another worker's own word stands"
    assert scene(persons, version(3, "w2", at=11)).late(patch) == [], "its own is known"
    saved = scene(persons, shared)
    saved.saves["a"] = 10.5
    assert saved.late(patch) == [], "an editor said who saved it"


def test_a_command_that_shows_the_file_and_was_told_of_late_may_have_made_what_nobody_else_did() -> None:
    command = Window("w2", "c", None, 10, 12, text="printf x > a")
    persons = version(2, USER, at=9.8)
    (amended,) = scene(version(1, USER, at=10 - LATE_SECONDS - 1), persons, version(3, "w1", at=9.9)).late(command)
    assert (amended.seq, amended.writers, amended.attribution) == (2, (USER, "w2"), "ambiguous")
    assert scene(persons, version(3, "w2", at=11)).late(command) == [], "its own is known"
    assert scene(persons).late(Window("w2", "c", None, 10, 12, text="cat a")) == [], "it only reads"
    saved = scene(persons)
    saved.saves["a"] = 9.8
    assert saved.late(command) == [], "an editor said who saved it"


def test_a_time_before_something_else_was_read_is_not_that_of_the_change() -> None:
    def misdated(one: Found, *versions: StoredVersion) -> bool:
        made = scene(*versions)
        made.looked_at = 12.0
        made.note_read("a", 20.0)
        return made.misdated({"a": one}, 25.0) == ["a"]

    cut, known = "b" * 40, version(1, "w1", at=10)
    assert misdated(Found("100644", cut, 10.0), known)
    assert not misdated(Found("100644", cut, 20.0 - CLOCK_SECONDS / 2), known), "a clock ticks in steps"
    assert not misdated(Found("100644", cut, 21.0), known)
    assert not misdated(Found("100644", known.oid, 10.0), known), "nothing else was read there"
    assert not misdated(Found("", None, None), known)
    assert not misdated(Found("100644", cut, 10.0)), "it was new, and looks may have left it out"


def test_a_time_before_a_glimpse_of_something_else_is_not_that_of_the_change() -> None:
    made = scene(version(1, "w1", at=7))
    made.glimpses["a"] = [seen("x", 10, 15)]
    assert made.misdated({"a": Found("100644", "b" * 40, 10.0)}, 20.0) == ["a"]
    assert made.misdated({"a": Found("100644", "b" * 40, 10.0)}, 15.5) == [], "the glimpse may be the newer one"


def test_a_file_of_a_renamed_directory_keeps_the_time_that_it_had_before_the_run() -> None:
    made = scene()
    assert made.misdated({"a": Found("100644", "b" * 40, 1.0)}, 20.0) == []
    made.moved["a"] = "old"
    assert made.misdated({"a": Found("100644", "b" * 40, 1.0)}, 20.0) == ["a"]
    made.note_look(10.0, whole=False)
    assert made.misdated({"a": Found("100644", "b" * 40, 8.0)}, 20.0) == [], "it may have been left out"
    made.note_look(10.0, whole=True)
    assert made.misdated({"a": Found("100644", "b" * 40, 8.0)}, 20.0) == ["a"]


def test_more_that_is_known_of_a_version_takes_its_place() -> None:
    made = scene(version(1, "w1"), version(2, "w1"), version(1, "w1", "w2"))
    assert [(one.seq, one.writers) for one in made.history.versions["a"]] == [(1, ("w1", "w2")), (2, ("w1",))]


@pytest.mark.parametrize("half", [min(EMPTY), max(EMPTY), None])
def test_the_moment_at_which_a_file_was_emptied_to_be_written_anew_is_no_version(half: str | None) -> None:
    full = version(1, "w1", "w2", oid="f" * 40)
    halfway = version(2, "w1", "w2", at=10.5, oid=half)
    base = version(0)

    def numbers(*versions: StoredVersion) -> list[int]:
        return [one.seq for one in scene(*versions).history.chain("a", base).versions]

    assert numbers(full, halfway, version(3, "w2", at=10.6)) == [0, 1, 3]
    assert numbers(full, halfway, version(3, "w2", at=20)) == [0, 1, 2, 3], "it stood there for long"
    assert numbers(full, halfway, version(3, "w3", at=10.6)) == [0, 1, 2, 3], "another wrote it"
    assert numbers(full, version(2, "w1", "w2", at=10.5), halfway) == [0, 1, 2], "one of them may have replaced it"
    assert numbers(version(1, "w1"), version(2, "w1"), version(3, "w2")) == [0, 2, 3]


def test_a_glimpse_reads_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello\n")
    (tmp_path / "a").chmod(0o755)
    one = glimpse(tmp_path, "a")
    assert one is not None
    assert (one.data, one.mode) == (b"hello\n", "100755")
    assert one.is_blob("ce013625030ba8dba906f756967f9e9ca394464a")
    assert one.is_blob("2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4")
    assert not one.is_blob(None)
    assert one.began <= one.ended


def test_a_glimpse_leaves_alone_what_is_no_small_file_of_the_tree(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "directory").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    (top / "link").symlink_to("../outside")
    (top / "way").symlink_to("..")
    (top / "empty").touch()
    (top / "large").write_bytes(b"x" * (GLIMPSE_BYTES + 1))
    for path in (
        "missing",
        "directory",
        "link",
        "way/outside",
        "../outside",
        "empty",
        "large",
        ".git/config",
        "",
        "a\0b",
        "\ud800",
    ):
        assert glimpse(top, path) is None, path

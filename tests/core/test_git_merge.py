"""Merges and hunks by git on trees of a few files, without looking at the work tree or its configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.git.commits import Entry
from sidecar.git.merge import Hunk, MergeResult, Versions
from sidecar.model.errors import SidecarError
from tests.support.repo import git, make_repo
from tests.support.tree import ODD_NAMES, Bench, bench, blob_id, index_bytes, picture, write

TEXT = "".join(f"line {number}\n" for number in range(1, 41))


@pytest.fixture
def it(tmp_path: Path) -> Bench:
    return bench(make_repo(tmp_path / "repo"))


def blob(it: Bench, data: str | bytes) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return subprocess.run(
        ["git", "-C", it.top, "hash-object", "-w", "--stdin"], input=raw, capture_output=True, check=True
    ).stdout.decode().strip()  # fmt: skip


def version(it: Bench, **files: str | bytes | None) -> dict[str, Entry | None]:
    return {path: None if data is None else Entry("100644", blob(it, data)) for path, data in files.items()}


def changed(*lines: int, by: str = "w") -> str:
    return "".join(f"{by}\n" if number in lines else f"line {number}\n" for number in range(1, 41))


def check(
    it: Bench, base: Versions, versions: list[Versions], merged: dict[str, str | None], conflicts: dict[str, str]
) -> MergeResult:
    result = it.merges.merge_versions(base, versions, [f"w{number}" for number, _ in enumerate(versions, 1)])
    assert result.clean is not bool(conflicts)
    assert {path: one.conflict.kind for path, one in result.files.items() if one.conflict} == conflicts
    contents = {
        path: None if one.entry is None else git(it.top, "cat-file", "blob", one.entry.oid)
        for path, one in result.files.items()
        if one.conflict is None
    }
    assert contents == merged
    return result


def test_different_lines_merge(it: Bench) -> None:
    before, index = picture(it.top), index_bytes(it.top)
    check(
        it, version(it, f=TEXT), [version(it, f=changed(2)), version(it, f=changed(30))], {"f": changed(2, 30)}, {}
    )  # fmt: skip
    assert (picture(it.top), index_bytes(it.top)) == (before, index)
    stored = git(it.top, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    assert stored.count("commit") == 1, "the commits and trees it took are gone; only the merged file stays"


def test_the_same_lines_conflict_with_named_markers(it: Bench) -> None:
    base = version(it, f=TEXT)
    result = it.merges.merge_versions(
        base, [version(it, f=changed(2, by="A")), version(it, f=changed(2, by="B"))], ["w1 add retries", "w2\n<x>\\1"]
    )
    conflict = result.files["f"].conflict
    assert conflict is not None
    assert (conflict.kind, conflict.base) == ("contents", base["f"])
    assert conflict.marked is not None
    assert conflict.marked.startswith(
        b"line 1\n<<<<<<< w1 add retries\nA\n||||||| baseline\nline 2\n=======\nB\n>>>>>>> w2 <x>\\1\nline 3\n"
    )


def test_every_kind_of_meeting(it: Bench) -> None:
    base = version(it, same=TEXT, one=TEXT, both=TEXT, gone=TEXT, fight=TEXT, binary=b"\0\1", untouched=TEXT)
    ours = version(
        it, same=changed(5), one=changed(1), both=changed(3), gone=None, fight=None, binary=b"\0\2", new="n\n"
    )
    theirs = version(it, same=changed(5), both=changed(20), fight=changed(9), binary=b"\0\3", other="o\n", clash="1\n")
    ours["clash"] = Entry("100644", blob(it, "2\n"))
    merged = {
        "same": changed(5), "one": changed(1), "both": changed(3, 20), "gone": None, "new": "n\n", "other": "o\n",
        "untouched": TEXT,
    }  # fmt: skip
    conflicts = {"fight": "modify/delete", "binary": "binary", "clash": "contents"}
    result = check(it, base, [ours, theirs], merged, conflicts)
    fight = result.files["fight"].conflict
    assert fight is not None
    assert (fight.ours, fight.theirs, fight.marked) == (None, theirs["fight"], None)
    clash = result.files["clash"].conflict
    assert clash is not None
    assert (clash.base, clash.marked) == (None, b"<<<<<<< w1\n2\n||||||| baseline\n=======\n1\n>>>>>>> w2\n")


def test_modes_and_links(it: Bench) -> None:
    base = {"run": Entry("100644", blob(it, TEXT)), "link": Entry("120000", blob(it, "a"))}
    ours = {"run": Entry("100755", base["run"].oid)}
    theirs = {"run": Entry("100644", blob(it, changed(7))), "link": Entry("120000", blob(it, "b"))}
    result = it.merges.merge_versions(base, [ours, theirs], ["w1", "w2"])
    assert result.clean
    assert result.files["run"].entry == Entry("100755", blob_id(changed(7).encode()))
    assert result.files["link"].entry == theirs["link"]


def test_a_rename_carries_the_others_edit_along(it: Bench) -> None:
    check(
        it, version(it, old=TEXT), [version(it, old=None, new=changed(2)), version(it, old=changed(30))],
        {"new": changed(2, 30), "old": None}, {},
    )  # fmt: skip


def test_a_renamed_file_in_conflict_names_its_paths(it: Bench) -> None:
    result = it.merges.merge_versions(
        version(it, **{"d/old": TEXT}),
        [version(it, **{"d/old": None, "e/f/new": changed(2, by="A")}), version(it, **{"d/old": changed(2, by="B")})],
        ["w1", "w2"],
    )
    conflict = result.files["e/f/new"].conflict
    assert conflict is not None
    assert (conflict.marked or b"").startswith(
        b"line 1\n<<<<<<< w1:e/f/new\nA\n||||||| baseline:d/old\nline 2\n=======\nB\n>>>>>>> w2:d/old\nline 3\n"
    )


def test_a_file_and_a_directory_of_one_name_conflict(it: Bench) -> None:
    one, two = version(it, x="a file\n"), version(it, **{"x/y": "in a directory\n", "other\x01\x02": "odd\n"})
    check(it, {}, [one, two], {"x/y": "in a directory\n", "other\x01\x02": "odd\n"}, {"x": "file/directory"})


def test_three_versions_fold(it: Bench) -> None:
    base = version(it, f=TEXT, g=TEXT)
    sides: list[Versions] = [
        version(it, f=changed(2), g=changed(1, by="A")), version(it, f=changed(15)),
        version(it, f=changed(30), g=changed(1, by="C")),
    ]  # fmt: skip
    result = check(it, base, sides, {"f": changed(2, 15, 30)}, {"g": "contents"})
    conflict = result.files["g"].conflict
    assert conflict is not None
    assert b"<<<<<<< w1 + w2\n" in (conflict.marked or b"")
    assert b">>>>>>> w3\n" in (conflict.marked or b"")


def test_one_version_is_what_it_is(it: Bench) -> None:
    check(it, version(it, f=TEXT, g="g\n"), [version(it, f=changed(2))], {"f": changed(2), "g": "g\n"}, {})


def test_odd_names_and_many_files(it: Bench) -> None:
    names = [*ODD_NAMES, "bytes-\udce9\udcff", *(f"dir{number % 7}/f{number}" for number in range(200))]
    oids = [blob(it, TEXT), blob(it, changed(2)), blob(it, changed(30))]
    base, ours, theirs = ({name: Entry("100644", oid) for name in names} for oid in oids)
    result = it.merges.merge_versions(base, [ours, theirs], ["w1", "w2"])
    assert result.clean
    assert {name: one.entry for name, one in result.files.items()} == dict.fromkeys(
        names, Entry("100644", blob_id(changed(2, 30).encode()))
    )


def test_attributes_are_heeded_and_drivers_are_not(it: Bench) -> None:
    write(it.top, ".gitattributes", "lock -merge\nlog merge=union\ncustom merge=evil\n")
    git(it.top, "config", "merge.evil.driver", "touch %A.ran && false")
    git(it.top, "config", "merge.evil.name", "evil")
    base = version(it, lock=TEXT, log=TEXT, custom=TEXT)
    ours = version(it, lock=changed(2), log=TEXT + "ours\n", custom=changed(2))
    theirs = version(it, lock=changed(30), log=TEXT + "theirs\n", custom=changed(30))
    check(
        it, base, [ours, theirs], {"log": TEXT + "ours\ntheirs\n", "custom": changed(2, 30)}, {"lock": "binary"}
    )  # fmt: skip
    assert not list(it.top.glob("*ran*"))


def test_a_path_that_is_file_and_directory_at_once_is_refused(it: Bench) -> None:
    one = Entry("100644", blob(it, "1\n"))
    with pytest.raises(SidecarError, match="a file and a directory"):
        it.merges.merge_versions({}, [{"a": one, "a/b": one}, {}], ["w1", "w2"])
    with pytest.raises(SidecarError, match="is no path"):
        it.merges.merge_versions({}, [{"../a": one}, {}], ["w1", "w2"])


def test_one_text_for_the_editor(it: Bench) -> None:
    text, count = it.merges.merge_file(
        TEXT.encode(), changed(2, by="A").encode(), changed(2, by="B").encode(), ("--ours", "-p", "w2 typed errors")
    )
    assert count == 1
    assert b"<<<<<<< --ours\nA\n||||||| -p\nline 2\n=======\nB\n>>>>>>> w2 typed errors\n" in text
    clean, none = it.merges.merge_file(TEXT.encode(), changed(2).encode(), changed(30).encode())
    assert (clean.decode(), none) == (changed(2, 30), 0)
    with pytest.raises(SidecarError, match="cannot be merged as text"):
        it.merges.merge_file(b"\0\1", b"\0\2", b"\0\3")


def test_hunks_of_many_files_by_one_diff(it: Bench) -> None:
    pairs = [
        (blob(it, TEXT), blob(it, changed(2, 3, 30))),
        (blob(it, TEXT), blob(it, TEXT)),
        (None, blob(it, "a\nb\n")),
        (blob(it, "a\nb"), None),
        (blob(it, b"\0\1"), blob(it, b"\0\2")),
        (blob(it, "a\n"), blob(it, "a\n@@ -1 +1 @@\n-x\n+y\ndiff --git a/9 b/9\n")),
        (None, None),
    ]
    assert it.merges.hunks(pairs) == [
        [Hunk(2, 2, 2, 2), Hunk(30, 1, 30, 1)], [], [Hunk(0, 0, 1, 2)], [Hunk(1, 2, 0, 0)], None, [Hunk(1, 0, 2, 4)],
        [],
    ]  # fmt: skip
    assert it.merges.hunks([]) == []


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "@@ -1 +1 @@", "--- x", "\\ No newline"]), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(LINES, LINES, st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_hunks_turn_the_old_text_into_the_new_one(
    it: Bench, texts: list[tuple[list[str], list[str], bool, bool]]
) -> None:
    both = [
        ("\n".join(old) + ("\n" if old and old_end else ""), "\n".join(new) + ("\n" if new and new_end else ""))
        for old, new, old_end, new_end in texts
    ]
    found = it.merges.hunks([(blob(it, old), blob(it, new)) for old, new in both])
    for (old, new), hunks in zip(both, found, strict=True):
        assert hunks is not None
        olds, news = old.splitlines(keepends=True), new.splitlines(keepends=True)
        built: list[str] = []
        at = 0
        for hunk in hunks:
            begin = hunk.old_start - 1 if hunk.old_count else hunk.old_start
            built += olds[at:begin]
            start = hunk.new_start - 1 if hunk.new_count else hunk.new_start
            assert len(built) == start
            built += news[start : start + hunk.new_count]
            at = begin + hunk.old_count
        assert "".join(built + olds[at:]) == new


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=LINES, ours=LINES, theirs=LINES)
def test_trees_and_single_files_merge_alike(it: Bench, base: list[str], ours: list[str], theirs: list[str]) -> None:
    three = ["".join(f"{line}\n" for line in lines) for lines in (base, ours, theirs)]
    result = it.merges.merge_versions(
        version(it, f=three[0]), [version(it, f=text) for text in three[1:]], ["w1", "w2"]
    )
    text, count = it.merges.merge_file(*(part.encode() for part in three), labels=("w1", "baseline", "w2"))  # type: ignore[arg-type]
    assert result.clean is (count == 0)
    entry = result.files["f"].entry
    if entry is not None:
        assert entry.oid == blob_id(text)

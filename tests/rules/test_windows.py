"""Who can have changed a file, from the times of workers' events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.a2.windows import HEAR_SECONDS, SLACK_SECONDS, Since, Window, Windows


def make(*windows: Window) -> Windows:
    made = Windows()
    for window in windows:
        made.open(window)
    return made


def command(job: str, begin: float, end: float | None, text: str = "") -> Window:
    return Window(job, f"c{begin}", None, begin, end, text=text)


def patch(job: str, path: str, begin: float, end: float | None) -> Window:
    return Window(job, f"p{begin}", frozenset({path}), begin, end, told=begin)


def writers(
    windows: Windows, path: str, at: float | None, since: float | None = None, *, new: bool = False
) -> list[str]:
    """Who can have written; what was there right before the last change was known unless it is said since when."""
    known = since if since is not None else at
    assert known is not None
    return windows.writers(path, at, Since(known, known), is_new=new).jobs


def test_one_command_alone() -> None:
    assert writers(make(command("w1", 10, 20)), "a", 15) == ["w1"]


def test_commands_of_two_workers_are_both_named() -> None:
    windows = make(command("w1", 10, 20), command("w2", 14, None))
    assert writers(windows, "a", 15) == ["w1", "w2"]
    assert writers(windows, "a", 12) == ["w1"]
    assert writers(windows, "a", 25) == ["w2"]


def test_a_command_that_ended_before_the_last_change_may_have_made_one_that_nobody_saw() -> None:
    windows = make(command("w1", 10, 20), command("w2", 14, None))
    assert writers(windows, "a", 25, since=15) == ["w1", "w2"]
    assert writers(windows, "a", 25, since=21) == ["w2"]


def test_a_patch_that_ended_before_the_last_change_is_part_of_what_stands_there() -> None:
    windows = make(patch("w1", "a", 10, 11), patch("w2", "a", 12, 13))
    assert writers(windows, "a", 12.5, since=5) == ["w1", "w2"]
    assert writers(windows, "a", 12.5, since=11.5) == ["w2"]
    found = windows.writers("a", 11.5, Since(5, 5), is_new=False)
    assert (found.jobs, found.last) == (["w1"], False), "the last change was a person's"


def test_a_patch_writes_each_of_its_files_once() -> None:
    windows = make(patch("w1", "a", 10, 20), patch("w2", "a", 12, 20))
    assert writers(windows, "a", 15, since=5) == ["w1", "w2"]
    windows.note_written("a", "w1", 11)
    assert writers(windows, "a", 15, since=11) == ["w2"]
    windows.note_written("a", "w2", 15)
    assert writers(windows, "a", 16, since=15) == ["w1", "w2"], "where nothing else is left it may have written twice"


def test_a_patch_that_was_told_of_after_the_write_is_not_over() -> None:
    windows = make(patch("w1", "a", 10, 20), patch("w2", "a", 10, 20))
    windows.find("w1", "p10").told = 14  # type: ignore[union-attr]
    windows.note_written("a", "w1", 11)
    assert writers(windows, "a", 15, since=11) == ["w1", "w2"]


def test_whose_own_event_names_the_file_goes_before_whoever_had_a_command_open() -> None:
    windows = make(patch("w1", "a", 10, 11), command("w2", 5, 20))
    assert writers(windows, "a", 10.5) == ["w1"]
    assert writers(windows, "b", 10.5) == ["w2"]


def test_a_command_that_mentions_the_file_or_has_written_it_is_as_likely_as_a_patch() -> None:
    windows = make(patch("w1", "src/a.py", 10, 11), command("w2", 5, 20, "sed -i s/x/y/ a.py"))
    assert writers(windows, "src/a.py", 10.5) == ["w1", "w2"]
    windows = make(patch("w1", "src/a.py", 10, 11), command("w2", 5, 20, "until grep -q x src/a.py; do sleep 1; done"))
    assert writers(windows, "src/a.py", 10.5) == ["w1"], "it only reads"
    windows = make(patch("w1", "a.py", 10, 11), command("w2", 5, 20, "make format"))
    windows.note_written("a.py", "w2", 6)
    assert writers(windows, "a.py", 10.5) == ["w1", "w2"]


def test_outside_of_all_windows_it_was_nobody_of_them() -> None:
    windows = make(command("w1", 10, 20), patch("w2", "a", 30, 31))
    assert writers(windows, "a", 25) == []
    assert writers(windows, "a", 20.001) == [], "what a worker says it has done it has done"


def test_a_patch_may_be_printed_a_moment_after_it_was_made() -> None:
    windows = make(patch("w1", "a", 10, 11))
    assert writers(windows, "a", 9.95) == ["w1"]
    assert writers(windows, "a", 10 - SLACK_SECONDS - 0.2) == []
    windows.open(patch("w2", "a", 5, 9.96))
    assert writers(windows, "a", 9.95) == ["w1", "w2"], "its word may be under way while another's window is exact"
    assert writers(windows, "a", 10 - HEAR_SECONDS - 0.05) == ["w2"]


def test_a_command_may_be_printed_a_moment_after_it_was_begun() -> None:
    """What a patch left was read at 12, so nothing that is met later is the patching worker's."""
    overwrites = command("w2", 20.12, None, "(seq 16; echo two) > a")
    windows = make(patch("w1", "a", 10, 11), overwrites)
    assert writers(windows, "a", 20, since=12) == ["w2"]
    assert writers(windows, "a", 20 - HEAR_SECONDS, since=12) == [], "a person's"
    assert writers(make(command("w2", 20.12, None, "make")), "a", 20, since=12) == [], "it does not show the file"
    runs = command("w1", 15, None, "make test")
    assert writers(make(runs, overwrites), "a", 20, since=12) == ["w1", "w2"], "the one just happened to run"
    shows = command("w1", 15, None, "sleep 5; echo > a")
    assert writers(make(shows, overwrites), "a", 20, since=12) == ["w1"]
    assert writers(make(patch("w1", "a", 19.9, 20.1), overwrites), "a", 20, since=12) == ["w1"]


def test_a_patch_that_is_over_goes_before_a_command_although_it_was_told_of_late() -> None:
    windows = make(patch("w1", "a", 10.05, 10.06), command("w2", 5, 20))
    assert windows.writers("a", 10, Since(9, 9), is_new=False, latest=True).jobs == ["w1"]
    assert windows.writers("a", 10, Since(9, 9), is_new=False).jobs == ["w1", "w2"], "it may have written later"
    windows = make(patch("w1", "a", 10.05, None), command("w2", 5, 20))
    assert windows.writers("a", 10, Since(9, 9), is_new=False, latest=True).jobs == ["w1", "w2"]


def test_a_file_that_is_gone_was_taken_by_whoever_could_since_the_last_look() -> None:
    windows = make(command("w1", 10, 20), command("w2", 30, 40))
    assert writers(windows, "a", None, since=25) == ["w2"]
    assert writers(windows, "a", None, since=15) == ["w1", "w2"]


def test_what_the_watch_told_of_late_is_not_a_persons_where_a_worker_said_that_it_writes_the_file() -> None:
    late = Since(sure=14, watched=21)
    for window in (command("w1", 10, 20, "mv a b"), patch("w1", "a", 10, 20)):
        assert make(window).writers("a", None, late, is_new=False) == (["w1"], True)
    both = make(command("w1", 10, 20, "mv a b"), command("w2", 30, None, "make"))
    assert both.writers("a", None, late, is_new=False).last
    found = make(command("w1", 10, 20, "cat a"), command("w2", 10, 20, "make"))
    assert found.writers("a", None, late, is_new=False) == ([], False)


def test_a_moving_patch_may_have_made_a_file_that_it_did_not_name() -> None:
    windows = make(patch("w1", "old", 10, 11))
    windows.note_move("w1", "p10")
    assert writers(windows, "new", 10.5, new=True) == ["w1"]
    assert writers(windows, "other", 10.5) == []


def test_closing_and_forgetting() -> None:
    windows = make(command("w1", 10, None), command("w2", 12, None))
    assert windows.open_commands() == {"w1", "w2"}
    windows.close("w1", "c10", 20)
    windows.close_job("w2", 30)
    assert not windows.any_open()
    windows.forget_before(25)
    assert writers(windows, "a", 15) == ["w2"]


_TIMES = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(["w1", "w2", "w3"]), _TIMES, _TIMES), max_size=8), _TIMES)
def test_a_worker_is_named_only_for_a_time_in_which_it_wrote(spans: list[tuple[str, float, float]], at: float) -> None:
    windows = make(*(command(job, min(a, b), max(a, b)) for job, a, b in spans))
    for job in writers(windows, "a", at):
        assert any(one == job and min(a, b) - SLACK_SECONDS <= at <= max(a, b) for one, a, b in spans)


@given(st.lists(st.tuples(st.sampled_from(["w1", "w2"]), _TIMES, _TIMES), max_size=8), _TIMES, _TIMES)
def test_every_worker_that_could_write_since_the_last_look_is_named(
    spans: list[tuple[str, float, float]], at: float, since: float
) -> None:
    windows = make(*(command(job, min(a, b), max(a, b)) for job, a, b in spans))
    inside = {job for job, a, b in spans if min(a, b) <= at <= max(a, b)}
    meanwhile = {job for job, a, b in spans if min(a, b) <= at and max(a, b) >= since}
    found = set(writers(windows, "a", at, since))
    assert inside <= found
    assert not inside or meanwhile <= found


def test_a_word_that_came_late_is_not_of_a_time_in_which_its_worker_still_did_something_else() -> None:
    def made(*, one_after_another: bool, text: str = "") -> list[str]:
        windows = Windows()
        windows.open(Window("w2", "waits", None, 1.0, text="sleep 1"))
        if one_after_another:
            windows.close("w2", "waits", 2.05, since=2.04)
        paths = None if text else frozenset({"app.py"})
        windows.open(Window("w2", "writes", paths, 2.1, 2.2, text=text))
        windows.open(Window("w1", "patches", frozenset({"app.py"}), 1.9, 2.02))
        return windows.writers("app.py", 2.0, Since(0.0, 0.0), is_new=False).jobs

    assert made(one_after_another=True) == ["w1"]
    assert made(one_after_another=False) == ["w1", "w2"]
    # A command is told of before it is run.
    assert made(one_after_another=False, text="echo > app.py") == ["w1"]


def test_a_patch_of_which_only_the_end_was_told_began_after_the_one_before() -> None:
    windows = Windows()
    windows.open(Window("w1", "first", frozenset({"other.py"}), 1.0, 1.1))
    windows.open(Window("w1", "second", frozenset({"app.py"}), 2.0, 2.1))
    assert windows.writers("app.py", 1.95, Since(0.0, 0.0), is_new=False).jobs == ["w1"]
    assert windows.writers("app.py", 0.95, Since(0.0, 0.0), is_new=False).jobs == []

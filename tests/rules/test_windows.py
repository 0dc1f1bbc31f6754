"""Who can have changed a file, from the times of workers' events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.a2.windows import SLACK_SECONDS, Window, Windows


def make(*windows: Window) -> Windows:
    made = Windows()
    for window in windows:
        made.open(window)
    return made


def command(job: str, begin: float, end: float | None) -> Window:
    return Window(job, f"c{begin}", None, begin, end)


def patch(job: str, path: str, begin: float, end: float | None) -> Window:
    return Window(job, f"p{begin}", frozenset({path}), begin, end)


def test_one_command_alone() -> None:
    assert make(command("w1", 10, 20)).writers("a", 15, 0, is_new=False) == ["w1"]


def test_commands_of_two_workers_are_both_named() -> None:
    windows = make(command("w1", 10, 20), command("w2", 14, None))
    assert windows.writers("a", 15, 0, is_new=False) == ["w1", "w2"]
    assert windows.writers("a", 12, 0, is_new=False) == ["w1"]
    assert windows.writers("a", 25, 0, is_new=False) == ["w2"]


def test_whose_own_event_names_the_file_goes_before_whoever_had_a_command_open() -> None:
    windows = make(patch("w1", "a", 10, 11), command("w2", 5, 20))
    assert windows.writers("a", 10.5, 0, is_new=False) == ["w1"]
    assert windows.writers("b", 10.5, 0, is_new=False) == ["w2"]


def test_outside_of_all_windows_it_was_nobody_of_them() -> None:
    windows = make(command("w1", 10, 20), patch("w2", "a", 30, 31))
    assert windows.writers("a", 25, 0, is_new=False) == []
    assert windows.writers("a", 20.001, 0, is_new=False) == [], "what a worker says it has done it has done"


def test_a_patch_may_be_printed_a_moment_after_it_was_made() -> None:
    windows = make(patch("w1", "a", 10, 11), patch("w2", "a", 5, 9.95))
    assert windows.writers("a", 9.97, 0, is_new=False) == ["w1"]
    assert windows.writers("a", 9.9, 0, is_new=False) == ["w2"], "an exact window goes before a near one"
    assert windows.writers("a", 10 - SLACK_SECONDS - 0.2, 10.5, is_new=False) == ["w2"]


def test_a_file_that_is_gone_was_taken_by_whoever_could_since_the_last_look() -> None:
    windows = make(command("w1", 10, 20), command("w2", 30, 40))
    assert windows.writers("a", None, 25, is_new=False) == ["w2"]
    assert windows.writers("a", None, 15, is_new=False) == ["w1", "w2"]


def test_a_moving_patch_may_have_made_a_file_that_it_did_not_name() -> None:
    windows = make(patch("w1", "old", 10, 11))
    windows.note_move("w1", "p10")
    assert windows.writers("new", 10.5, 0, is_new=True) == ["w1"]
    assert windows.writers("other", 10.5, 0, is_new=False) == []


def test_closing_and_forgetting() -> None:
    windows = make(command("w1", 10, None), command("w2", 12, None))
    assert windows.open_commands() == {"w1", "w2"}
    windows.close("w1", "c10", 20)
    windows.close_job("w2", 30)
    assert not windows.any_open()
    windows.forget_before(25)
    assert windows.writers("a", 15, 0, is_new=False) == ["w2"]


_TIMES = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(["w1", "w2", "w3"]), _TIMES, _TIMES), max_size=8), _TIMES)
def test_a_worker_is_named_only_for_a_time_in_which_it_wrote(spans: list[tuple[str, float, float]], at: float) -> None:
    windows = make(*(command(job, min(a, b), max(a, b)) for job, a, b in spans))
    for job in windows.writers("a", at, 0, is_new=False):
        assert any(one == job and min(a, b) - SLACK_SECONDS <= at <= max(a, b) for one, a, b in spans)


@given(st.lists(st.tuples(st.sampled_from(["w1", "w2"]), _TIMES, _TIMES), max_size=8), _TIMES)
def test_every_worker_with_a_command_open_is_named(spans: list[tuple[str, float, float]], at: float) -> None:
    windows = make(*(command(job, min(a, b), max(a, b)) for job, a, b in spans))
    inside = {job for job, a, b in spans if min(a, b) <= at <= max(a, b)}
    assert inside <= set(windows.writers("a", at, 0, is_new=False))

"""K_read, K_write, first come first served, dependencies, expected files: as properties of random queues."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.jobs import globs
from sidecar.jobs.slots import plan
from sidecar.model.job import Job

_FILES = ["src/a.py", "src/**", "docs/*.md", "docs/b.md"]


def make(number: int, sandbox: str, files: list[str] | None = None, depends_on: list[str] | None = None) -> Job:
    return Job(
        job_id=f"j{number}",
        number=number,
        title="t",
        sandbox=sandbox,  # type: ignore[arg-type]
        status="queued",
        working_directory="/",
        timeout_ms=1000,
        created_at=0.0,
        expected_files=files or [],
        depends_on=depends_on or [],
    )


@dataclass
class Simulation:
    """Runs a queue to its end: at each step starts what the plan says, then ends one running job."""

    jobs: list[Job]
    read: int
    write: int
    done: set[str] = field(default_factory=set)

    def run(self, choose: st.DataObject) -> list[str]:
        queued, active, started = list(self.jobs), [], []
        while queued or active:
            now = plan(queued, active, read=self.read, write=self.write, is_done=self.done.__contains__)
            for job_id in now.start:
                job = next(job for job in queued if job.job_id == job_id)
                queued.remove(job)
                active.append(job)
                started.append(job_id)
            assert {job.job_id for job in queued} == set(now.positions)
            self._check(active, queued, now.positions)
            assert active, "something must run as long as jobs wait"
            ended = choose.draw(st.sampled_from(active))
            active.remove(ended)
            self.done.add(ended.job_id)
        return started

    def _check(self, active: list[Job], queued: list[Job], positions: dict[str, int]) -> None:
        for access, limit in (("read", self.read), ("write", self.write)):
            assert sum(job.access == access for job in active) <= limit
            places = [positions[job.job_id] for job in queued if job.access == access]
            assert places == list(range(1, len(places) + 1))
        writers = [job for job in active if job.access == "write"]
        for index, one in enumerate(writers):
            for other in writers[index + 1 :]:
                assert not any(globs.overlap(a, b) for a in one.expected_files for b in other.expected_files)
        for job in active:
            assert all(other in self.done for other in job.depends_on)


@st.composite
def queues(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        sandbox = draw(st.sampled_from(["read-only", "workspace-write", "danger-full-access"]))
        files = draw(st.lists(st.sampled_from(_FILES), max_size=2))
        earlier = [job.job_id for job in jobs]
        depends_on = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        jobs.append(make(number, sandbox, files, depends_on))
    return jobs


@settings(max_examples=200)
@given(queues(), st.integers(1, 3), st.integers(1, 3), st.data())
def test_every_queue_runs_to_its_end_within_the_rules(
    jobs: list[Job], read: int, write: int, data: st.DataObject
) -> None:
    started = Simulation(jobs, read, write).run(data)
    assert sorted(started) == sorted(job.job_id for job in jobs)


@given(st.lists(st.sampled_from(["read-only", "workspace-write"]), max_size=20))
def test_without_dependencies_each_kind_starts_in_the_order_of_its_spawn(kinds: list[str]) -> None:
    jobs = [make(number, kind) for number, kind in enumerate(kinds, 1)]
    chosen = plan(jobs, [], read=8, write=2, is_done=lambda _: False)
    for access, limit in (("read", 8), ("write", 2)):
        mine = [job.job_id for job in jobs if job.access == access]
        assert [job_id for job_id in chosen.start if job_id in mine] == mine[:limit]


def test_a_job_that_waits_for_files_is_not_overtaken_by_a_later_one_for_the_same_files() -> None:
    running, second, third = (make(n, "workspace-write", ["src/**"]) for n in (1, 2, 3))
    other = make(4, "workspace-write", ["docs/b.md"])
    chosen = plan([second, third, other], [running], read=8, write=3, is_done=lambda _: False)
    assert chosen.start == ("j4",)
    assert chosen.positions == {"j2": 1, "j3": 2}
    assert "files of w1" in chosen.reasons["j2"]


def test_a_job_that_waits_for_another_lets_later_ones_pass() -> None:
    waiting, later = make(1, "workspace-write", depends_on=["x"]), make(2, "workspace-write")
    chosen = plan([waiting, later], [], read=1, write=1, is_done=lambda _: False)
    assert chosen.start == ("j2",)
    assert "another job" in chosen.reasons["j1"]


def test_full_slots_are_told_with_their_number() -> None:
    active = [make(1, "workspace-write"), make(2, "danger-full-access")]
    chosen = plan([make(3, "workspace-write")], active, read=8, write=2, is_done=lambda _: False)
    assert chosen.reasons == {"j3": "waiting for a write slot (2 of 2 in use)"}


def test_a_job_that_follows_another_waits_for_its_end_however_it_ends() -> None:
    first, second = make(1, "workspace-write"), make(2, "workspace-write")
    second.follows = ["j1"]
    waiting = plan([second], [first], read=8, write=2, is_done=lambda _: False, has_ended=lambda _: False)
    assert waiting.start == ()
    ended = plan([second], [], read=8, write=2, is_done=lambda _: False, has_ended=lambda _: True)
    assert ended.start == ("j2",)

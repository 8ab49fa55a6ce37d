"""Following jobs to their end, also when there are more of them than the history keeps."""

from collections.abc import Iterator

from replicator.jobs import Job, Outcome
from replicator.ledger import Claim, Ledger, Submission
from replicator.oci import Repository, Tag
from replicator.resync import Watch


def jobs(count: int) -> list[Job]:
    return [Job("prod", "us", Repository("team/api"), Tag(f"v{number}")) for number in range(count)]


def done(ledger: Ledger, job: Job) -> None:
    claim = ledger.claim(job.id)
    assert isinstance(claim, Claim)
    ledger.finish(claim, Outcome.COPIED)


def submitted(ledger: Ledger, watch: Watch, count: int) -> list[Job]:
    asked = jobs(count)
    ledger.submit([Submission(job, 100.0) for job in asked])
    watch.add(asked)
    return asked


def test_what_ends_while_more_is_looked_for_is_seen(ledger: Ledger) -> None:
    watch = Watch(ledger)

    def comparing() -> Iterator[int]:
        for number, job in enumerate(submitted(ledger, watch, 3000)):
            done(ledger, job)
            if number % 500 == 0:
                yield number

    assert list(watch.during(comparing(), every_s=0.0)) == [0, 500, 1000, 1500, 2000, 2500]
    watch.look()

    assert watch.is_over
    assert watch.destinations["us"].outcomes == {"copied": 3000}


def test_what_a_person_dropped_is_over(ledger: Ledger) -> None:
    watch = Watch(ledger)
    first, second = submitted(ledger, watch, 2)
    done(ledger, first)
    ledger.drop(second.id)

    watch.look()

    assert watch.is_over
    assert watch.destinations["us"].outcomes == {"copied": 1, "dropped": 1}


def test_what_still_runs_is_not_over(ledger: Ledger) -> None:
    watch = Watch(ledger)
    submitted(ledger, watch, 1)

    watch.look()

    assert not watch.is_over

"""Random histories of a source and a destination, and a model that says of each delete whether it was allowed.

A history is a few dozen steps: people push, move and delete at both ends, events come late, twice, forged or never, the
source fails in one way or another, workers die, the ledger is lost, a person approves. After each try of a job whatever
is gone at the destination must be what the model lets go; in the end all is in line, or waits for a person who is told
why. The same number makes the same history.

`python -m tests.chaos.deletes 10000` makes so many at registries of our own.
"""

import contextlib
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import redis

from replicator.demo.features import Features
from replicator.jobs import Job
from replicator.ledger import Ledger, State, Submission
from replicator.oci import Digest, Repository, Tag
from replicator.rules import Rule
from replicator.transfer import Tools, bring_in_line
from tests.conformance.bridge import Bridge
from tests.fakes import images
from tests.fakes.raw import Target
from tests.integration.processes import DockerRegistry, RedisServer
from tests.integration.transfer.test_crashes import Mortality
from tests.integration.transfer.world import API, Killed, World, a_rule, forget_last_look

GRACE_S = 0.02
TAGS = ("v1", "v2", "v3", "v4")
ALL_TAGS = (*TAGS, "theirs")
"""No rule takes the last one: what stands there is somebody else's."""
STEPS = 40
IMAGES = [images.image([b"layer %d" % number]) for number in range(3)]
RULE = replace(a_rule(), deletion=True, delete_grace_s=GRACE_S)
ENDS_WITHIN_S = 20.0
PLAYED_IN = Repository(API)

Held = dict[str, Digest | None]
Fault = Callable[[], Callable[[], object]]


class WrongDelete(AssertionError):
    """Something is gone that the model keeps."""


@dataclass(slots=True)
class Stage:
    """Where a history plays: two registries, a ledger, a worker's tools.

    `faults` are the ways in which the source can fail so that no delete may be believed, `mild` those in which it still
    tells the truth of a tag; each returns what ends it. `kill` has the worker die at its next
    request but so many.
    """

    eu: Target
    us: Target
    ledger: Ledger
    tools: Tools
    rule: Rule
    wipe: Callable[[], object]
    hurry: Callable[[str], object]
    faults: Sequence[Fault]
    mild: Sequence[Fault] = ()
    kill: Callable[[int], Callable[[], object]] | None = None
    eu_deletes_tags: bool = True
    repository: Repository = PLAYED_IN


@dataclass(slots=True)
class Model:
    """What is known of each tag: since when the source may have been seen without it, when an event last told of it,
    and which digests at the destination are ours.

    The source is asked twice, the grace apart and both times since the last event. That it had the tag in between, if
    nobody told, cannot be seen. `approved` are the reasons that a person approved, `deletes` the tries that deleted
    something.
    """

    cap: int
    absent_since: dict[str, float] = field(default_factory=dict)
    told_at: dict[str, float] = field(default_factory=dict)
    ours: dict[str, set[Digest]] = field(default_factory=dict)
    approved: list[str] = field(default_factory=list)
    deletes: int = 0

    def waited_s(self, tag: str, asked_for: str) -> float:
        """For how long the delete of `tag` has waited, which a job for `asked_for` carries out."""
        told_at = self.told_at.get(tag, 0.0) if tag == asked_for else 0.0
        return time.monotonic() - max(self.absent_since.get(tag, 0.0), told_at)

    def check(self, tag: str, digest: Digest, source: Held, *, deletes: bool, waited_s: float) -> None:
        """`digest` went from `tag`. Raises WrongDelete unless it may."""
        why = None
        if not deletes:
            why = "the rule does not delete"
        elif any(tag in reason or str(digest) in reason for reason in self.approved):
            return
        elif source.get(tag):
            why = "the source has it"
        elif waited_s < GRACE_S:
            why = "the grace is not over"
        elif digest not in self.ours.get(tag, ()):
            why = "it is not ours"
        elif self.deletes - len(self.approved) > self.cap:
            why = f"more than {self.cap} are gone already"
        if why:
            raise WrongDelete(f"{tag} at the destination is gone: {why}")


class History:
    """One history, step by step."""

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage = stage
        self.random = random.Random(number)
        self.model = Model(stage.rule.delete_cap)
        self.told: list[tuple[str, str, Digest | None]] = []
        self.events: list[tuple[str, str, Digest | None]] = []
        self.held: Held = {}
        self.heal: Callable[[], object] | None = None
        self.is_credible = True
        self.log: list[str] = []

    def run(self) -> None:
        """Play it to its end. Raises AssertionError, with every step, where the model is contradicted."""
        steps = [
            (self.push, 5),
            (self.delete, 4),
            (self.deliver, 6),
            (self.replay, 2),
            (self.forge, 2),
            (self.work, 14),
            (self.meddle, 2),
            (self.fail, 2),
            (self.approve, 1),
            (self.lose_ledger, 0.3),
            (self.pass_time, 3),
        ]
        try:
            for step in self.random.choices(
                [step for step, _ in steps], [weight for _, weight in steps], k=STEPS
            ):
                step()
            self.end()
        except AssertionError as exc:
            raise type(exc)("\n".join([*self.log, str(exc)])) from exc

    # What people do

    def push(self) -> None:
        tag, image = self.random.choice(TAGS), self.random.choice(IMAGES)
        self._healthy()
        images.push(self.stage.eu, self.stage.repository, tag, image)
        self._happened("push", tag, image.digest)

    def delete(self) -> None:
        self._healthy()
        before = self._held(self.stage.eu)
        there = [tag for tag in TAGS if before[tag]]
        if not there:
            return
        tag = self.random.choice(there)
        digest = before[tag]
        assert digest
        images.delete(self.stage.eu, self.stage.repository, tag if self.stage.eu_deletes_tags else digest)
        after = self._held(self.stage.eu)
        for gone in (each for each in there if not after[each]):
            self.model.absent_since.setdefault(gone, time.monotonic())
            self._happened("delete", gone, None if self.stage.eu_deletes_tags else digest)

    def meddle(self) -> None:
        """Somebody pushes or deletes at the destination."""
        tag = self.random.choice(ALL_TAGS)
        image = self.random.choice(IMAGES)
        self._say(f"somebody pushes {tag} {_short(image.digest)} at the destination")
        images.push(self.stage.us, self.stage.repository, tag, image)

    def approve(self) -> None:
        blocked = [view for view in self.stage.ledger.view.failures() if view.state is State.BLOCKED]
        if not blocked:
            return
        view = self.random.choice(blocked)
        reason = view.reason or ""
        self._say(f"a person approves {view.reference}: {reason}")
        assert self.stage.ledger.approve(view.id, reason)
        self.model.approved.append(f"{view.reference} {reason}")

    # What comes of it

    def deliver(self) -> None:
        if self.events:
            self._tell(*self.events.pop(self.random.randrange(len(self.events))))

    def replay(self) -> None:
        if self.told:
            self._tell(*self.random.choice(self.told))

    def forge(self) -> None:
        digest = self.random.choice([None, *(image.digest for image in IMAGES)])
        self._tell(self.random.choice(("push", "delete")), self.random.choice(TAGS), digest)

    def work(self) -> None:
        pending = self.stage.ledger.view.jobs(state=State.PENDING)
        if pending:
            self._try(self.random.choice(pending).job, may_die=True)

    def fail(self) -> None:
        self._healthy()
        fault = self.random.choice([*self.stage.faults, *self.stage.mild])
        self.held = self._held(self.stage.eu)
        self.heal, self.is_credible = fault(), fault in self.stage.mild
        self._say("the source fails")

    def lose_ledger(self) -> None:
        self._say("the ledger is lost")
        self.stage.wipe()
        self.model.ours.clear()
        self.model.deletes = 0

    def pass_time(self) -> None:
        time.sleep(GRACE_S / 2)

    def end(self) -> None:
        """All is told, nothing fails any more: everything comes in line, or waits for a person who is told why."""
        self._healthy()
        for tag in TAGS:
            self._tell("push", tag, None)
        deadline = time.monotonic() + ENDS_WITHIN_S
        view = self.stage.ledger.view
        while pending := view.jobs(state=State.PENDING):
            assert time.monotonic() < deadline, f"it does not come to rest: {pending}"
            for job in pending:
                self._try(job.job)
            time.sleep(0.002)
        source, there = self._held(self.stage.eu), self._held(self.stage.us)
        waiting = {job.reference: job.reason for job in view.failures()}
        for tag in TAGS:
            if source[tag] != there[tag]:
                assert source[tag] is None, f"{tag} is {there[tag]} and not {source[tag]}"
                assert not self.stage.rule.deletion or waiting.get(Tag(tag)), (
                    f"{tag} is left, and nobody is told"
                )
            if there[tag]:
                self._is_whole(tag)

    def _is_whole(self, tag: str) -> None:
        stage = self.stage
        assert any(images.is_whole(stage.us, stage.repository, tag, image) for image in IMAGES), tag

    def _try(self, job: Job, *, may_die: bool = False) -> None:
        tag = str(job.reference)
        source, before = self._source(), self._held(self.stage.us)
        wanted = source[tag]
        if wanted and before[tag] != wanted:
            self.model.ours.setdefault(tag, set()).add(wanted)
        self.stage.hurry(job.id)
        lives_on = self.stage.kill(self.random.randrange(1, 12)) if may_die and self._dies() else None
        with contextlib.suppress(Killed):
            bring_in_line(job.id, self.stage.tools)
        if lives_on:
            lives_on()
        after = self._held(self.stage.us)
        self._say(f"a worker tries {tag}{' and may die' if lives_on else ''}: {_changes(before, after)}")
        self.model.deletes += any(before[each] and not after[each] for each in ALL_TAGS)
        for each in ALL_TAGS:
            was, now = before[each], after[each]
            if was and not now:
                self._went(each, was, source, asked_for=tag)
            elif now and was != now:
                assert now == source.get(each), f"{each} became {now}, the source has {source.get(each)}"
                self.model.ours[each] = {now}

    def _went(self, tag: str, digest: Digest, source: Held, *, asked_for: str) -> None:
        if not self.is_credible:
            raise WrongDelete(f"{tag} at the destination is gone, and the source cannot be believed")
        waited_s = self.model.waited_s(tag, asked_for)
        self.model.check(tag, digest, source, deletes=self.stage.rule.deletion, waited_s=waited_s)
        self.model.absent_since.pop(tag, None)
        self.model.ours.pop(tag, None)

    def _dies(self) -> bool:
        return self.stage.kill is not None and self.random.random() < 0.15

    def _tell(self, action: str, tag: str, digest: Digest | None) -> None:
        job = Job(self.stage.rule.name, "us", self.stage.repository, Tag(tag))
        ledger = self.stage.ledger
        self._say(f"event: {action} {tag} {_short(digest)}")
        ledger.submit([Submission(job, ledger.view.now(), action, digest)])
        self.told.append((action, tag, digest))
        self.model.told_at[tag] = time.monotonic()

    def _happened(self, action: str, tag: str, digest: Digest | None) -> None:
        self._say(f"{action} {tag} {_short(digest)}")
        if self.random.random() < 0.8:  # the others are lost
            self.events.append((action, tag, digest))

    def _healthy(self) -> None:
        if self.heal:
            self.heal()
            self.heal, self.is_credible = None, True
            self._say("the source is well again")

    def _source(self) -> Held:
        # Nobody changes what cannot be read.
        return self.held if self.heal else self._held(self.stage.eu)

    def _held(self, side: Target) -> Held:
        return {tag: images.head(side, self.stage.repository, tag) for tag in ALL_TAGS}

    def _say(self, what: str) -> None:
        self.log.append(what)


def at_our_own(world: World, *, rule: Rule = RULE) -> Stage:
    """A stage of registries that are fakes: the source fails in every way, workers die at any request."""
    eu = world["eu"]

    def fault(path: str, **answer: object) -> Callable[[], Callable[[], object]]:
        def begin() -> Callable[[], object]:
            eu.fail("*", path, times=float("inf"), **answer)
            return eu.heal

        return begin

    def kill(number: int) -> Callable[[], object]:
        death = Mortality(world, number, after=bool(number % 2))

        def revive() -> None:
            death.lift(world)
            for tag in TAGS:
                world.expire(world.job(tag))

        return revive

    return Stage(
        eu=eu,
        us=world["us"],
        ledger=world.ledger,
        tools=world.tools(),
        rule=rule,
        wipe=world.redis.flushall,
        hurry=partial(_hurry, world.redis),
        faults=[
            *(fault("", status=status) for status in (401, 403, 404, 404, 404, 429, 500, 503)),
            *(fault("manifests/", status=status) for status in (401, 403, 500)),
            fault("", reset=True),
        ],
        mild=[fault("tags/list", body=b'{"name": "team/api", "tags": null}')],
        kill=kill,
        eu_deletes_tags=eu.features.tag_delete,
    )


def at_real_ones(bridge: Bridge, registry: DockerRegistry, client: redis.Redis, repository: str) -> Stage:
    """A stage of Debian's docker-registry, which deletes by digest only. `registry` is the source; it gets killed."""

    def die() -> Callable[[], object]:
        registry.kill()
        return registry.start

    eu, us = bridge.urls
    return Stage(
        eu=eu,
        us=us,
        ledger=bridge.ledger,
        tools=bridge.tools,
        rule=bridge.rule,
        wipe=client.flushall,
        hurry=partial(_hurry, client),
        faults=[die],
        eu_deletes_tags=False,
        repository=Repository(repository),
    )


def _hurry(client: redis.Redis, job_id: str) -> None:
    # Neither a back-off nor an event that is just on its way is waited for: it is as if all of it were long ago.
    client.hset(f"replicator:job:{job_id}", mapping={"not_before": "0", "hinted_at": "1"})
    forget_last_look(client, job_id)
    for name in ("eu", "us"):
        client.delete(*(f"replicator:{kind}:{name}" for kind in ("down", "probe", "pause")))


def _short(digest: Digest | None) -> str:
    return str(digest)[7:15] if digest else ""


def _changes(before: Held, after: Held) -> str:
    changed = [
        f"{tag} {_short(before[tag])} -> {_short(after[tag])}" for tag in before if before[tag] != after[tag]
    ]
    return ", ".join(changed) or "nothing changes"


def main(count: int) -> int:
    """Make the histories of the numbers below `count`; 1 at the first that the model contradicts."""
    started, deletes = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as directory, RedisServer(Path(directory), appendfsync="no") as server:
        for number in range(count):
            features = Features(tag_delete=number % 2 == 0)
            rule = replace(RULE, delete_cap=1 if number % 3 == 0 else 100)
            ledger = Ledger.connect(server.url)
            world = World(ledger, server.url, [rule], features={"eu": features, "us": features}, kinds={})
            world.redis.flushall()
            history = History(at_our_own(world, rule=rule), number)
            try:
                history.run()
            except AssertionError as exc:
                _tell(f"history {number}: {exc}")
                return 1
            finally:
                world.close()
                ledger.close()
            deletes += history.model.deletes
    _tell(
        f"{count} histories, {deletes} deletes, none that the model keeps, {time.monotonic() - started:.0f} s"
    )
    return 0


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is its output


if __name__ == "__main__":
    logging.disable()
    sys.exit(main(int(sys.argv[1])))

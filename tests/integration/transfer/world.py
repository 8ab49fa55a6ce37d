"""Registries that are fakes, a ledger that is real, and a worker that tries a job when it is told to."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import redis

from replicator.demo.features import Features
from replicator.demo.messages import Request, Response
from replicator.demo.storage import Blob
from replicator.events import Action, Event
from replicator.jobs import Job, jobs_for
from replicator.ledger import JobView, Ledger, State, Submission
from replicator.oci import Digest, Repository, Tag, parse_reference
from replicator.operate import Desk
from replicator.registry import RegistryClient
from replicator.rules import Destination, Filter, FilterType, Registry, RegistryType, Rule, RuleSet
from replicator.transfer import Leases, Tools, bring_in_line
from replicator.verdict import place
from tests.fakes.harbor import FakeHarbor
from tests.fakes.images import Image, delete, push
from tests.fakes.registry import FakeRegistry

API = "team/api"
ECR_HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
LEASE_S = 20.0
SETTLES_WITHIN_S = 10.0
VERSIONS = (Filter(FilterType.NAME, "team/**"), Filter(FilterType.TAG, "v*"))
ALL = (Filter(FilterType.NAME, "**"),)

Hook = Callable[[Request], None]


class Killed(BaseException):
    """What a test raises in a worker to end it without a word: nobody catches it."""


class Watched(FakeRegistry):
    """A fake registry that lets a test look, or interfere, before and after each request."""

    def __init__(self, features: Features | None = None) -> None:
        super().__init__(features)
        self.before: list[Hook] = []
        self.after: list[Hook] = []

    def handle(self, request: Request) -> Response:
        for hook in [*self.before]:
            hook(request)
        response = super().handle(request)
        for hook in [*self.after]:
            hook(request)
        return response


class WatchedHarbor(Watched, FakeHarbor):
    """The same of a Harbor, with those parts of its API that our fake knows."""


def a_rule(
    name: str = "prod", source: str = "eu", *there: str, filters: tuple[Filter, ...] = VERSIONS
) -> Rule:
    """A rule that copies tags `v*` of repositories `team/**`; `dataclasses.replace` makes others of it."""
    return Rule(
        name,
        source,
        tuple(Destination(name) for name in there or ("us",)),
        filters=filters,
        delete_grace_s=0.05,
    )


def _described(name: str, kind: RegistryType) -> Registry:
    # ECR's hosts tell whose they are.
    return Registry(name, kind, f"http://{ECR_HOST if kind is RegistryType.ECR else f'{name}.test'}")


def once(registry: Watched, method: str, path_regex: str, do: Callable[[], object]) -> None:
    """After the next request that fits has taken effect, and before its answer is sent, `do` happens."""

    def hook(request: Request) -> None:
        if request.method == method and re.search(path_regex, request.path) and hook in registry.after:
            registry.after.remove(hook)
            do()

    registry.after.append(hook)


def forget_last_look(client: redis.Redis, job_id: str) -> None:
    """A job that was done in doubt is looked at for the last time now."""
    key = f"replicator:job:{job_id}"
    if float(client.hget(key, "unsure") or 0) > 1:
        client.hset(key, "unsure", "0")


class World:
    """Some registries, the rules between them, one ledger, and a worker without a queue."""

    def __init__(
        self,
        ledger: Ledger,
        redis_url: str,
        rules: Sequence[Rule],
        *,
        features: Mapping[str, Features],
        kinds: Mapping[str, RegistryType],
    ) -> None:
        self.ledger = ledger
        self.redis = redis.Redis.from_url(redis_url)
        self.redis_url = redis_url
        names = {rule.source for rule in rules} | {
            there.registry for rule in rules for there in rule.destinations
        }
        self.registries = {
            name: (WatchedHarbor if kinds.get(name) is RegistryType.HARBOR else Watched)(features.get(name))
            for name in sorted(names)
        }
        described = {name: _described(name, kinds.get(name, RegistryType.DISTRIBUTION)) for name in names}
        self.rules = RuleSet(described, tuple(rules))
        self._clients = {
            name: RegistryClient(
                registry,
                transport=self.registries[name].transport(),
                gate=ledger.budgets.of(name, registry.limits),
            )
            for name, registry in described.items()
        }

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self.redis.close()

    def __getitem__(self, name: str) -> Watched:
        return self.registries[name]

    def obey(self, *rules: Rule) -> None:
        """From now on these are the rules."""
        self.rules = replace(self.rules, rules=rules)

    def listen(self) -> None:
        """From now on every change at a registry asks for jobs, as its notifications would."""
        for name, registry in self.registries.items():
            registry.after.append(partial(self._notify, name))

    def _notify(self, name: str, request: Request) -> None:
        found = re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", request.path)
        if not found or request.method not in {"PUT", "DELETE"}:
            return
        reference = parse_reference(found[2])
        tag = reference if isinstance(reference, Tag) else None
        digest = self.digest(name, reference, repository=found[1])
        action = Action.PUSH if request.method == "PUT" else Action.DELETE
        event = Event(name, action, Repository(found[1]), tag, digest or (None if tag else Digest(reference)))
        if tag and digest:
            self.hear(name, tag, digest, repository=found[1])
        for job in jobs_for(event, self.rules):
            self.tell(job, action, event.digest)

    def hear(self, name: str, tag: str, digest: Digest, *, repository: str = API) -> None:
        """An event told of that content, just now."""
        where = place(name, Repository(repository), Tag(tag))
        self.ledger.fleet.holdings.hear(where, digest, self.ledger.view.now())

    # What people do at registries

    def push(self, name: str, reference: str | None, pushed: Image, *, repository: str = API) -> Digest:
        return push(self[name], repository, reference, pushed)

    def delete(self, name: str, reference: str, *, repository: str = API) -> None:
        delete(self[name], repository, reference)

    def lose_manifest(self, name: str, digest: Digest, *, repository: str = API) -> None:
        """The registry no longer has it, though nobody deleted it."""
        storage = self[name].storage
        with storage.lock:
            del storage.shelves[Repository(repository)].manifests[digest]

    def damage(self, name: str, digest: Digest, content: bytes, *, repository: str = API) -> None:
        """The bytes of a blob are no longer what they were, as on a bad disk."""
        storage = self[name].storage
        with storage.lock:
            storage.remove_blob(Repository(repository), digest)
            storage.add_blob(Repository(repository), digest, Blob(content, len(content)))

    def digest(self, name: str, reference: str = "v1", *, repository: str = API) -> Digest | None:
        """What the registry holds there, looked up in its storage."""
        with self[name].storage.lock:
            shelf = self[name].storage.find(Repository(repository))
            if shelf is None:
                return None
            found = parse_reference(reference)
            if isinstance(found, Tag):
                return shelf.tags.get(found)
            return found if found in shelf.manifests else None

    # Jobs

    def job(self, reference: str = "v1", *, rule: str = "prod", to: str = "us", repository: str = API) -> Job:
        return Job(rule, to, Repository(repository), parse_reference(reference))

    def tell(self, job: Job, action: str | None = "push", digest: Digest | None = None) -> None:
        """An event, or with no action a resync, asks for the job."""
        self.ledger.submit([Submission(job, self.ledger.view.now(), action, digest)])

    def work(self, job: Job) -> JobView | None:
        """A worker hears the doorbell; what the ledger shows of the job afterwards."""
        bring_in_line(job.id, self.tools())
        return self.ledger.view.job_view(job.id)

    def tools(self, *, ledger: Ledger | None = None, lease_s: float = LEASE_S) -> Tools:
        ledger = ledger or self.ledger
        return Tools(ledger, lambda: self.rules, self._clients.__getitem__, Leases(ledger, lease_s=lease_s))

    def desk(self) -> Desk:
        return Desk(self.ledger, lambda: self.rules, self._clients.__getitem__)

    def run(self, job: Job, action: str | None = "push", digest: Digest | None = None) -> JobView:
        """Ask for the job and try it once, with all logs cleared before."""
        self.forget_requests()
        self.tell(job, action, digest)
        return self.shown(self.work(job))

    def settle(self) -> None:
        """Work until nothing is pending, without waiting for back-offs."""
        deadline = time.monotonic() + SETTLES_WITHIN_S
        while jobs := self.ledger.view.jobs(state=State.PENDING):
            assert time.monotonic() < deadline, jobs
            for view in jobs:
                self._forget_back_off(view.id)
                forget_last_look(self.redis, view.id)
                bring_in_line(view.id, self.tools())
            time.sleep(0.005)

    def remove(self, job: Job) -> JobView:
        """A delete event asks for the job, and it is worked on until it ends or stops."""
        self.tell(job, "delete")
        self.settle()
        return self.shown(self.ledger.view.job_view(job.id))

    def hurried(self, job: Job) -> JobView:
        """The next try, without waiting for the back-off."""
        self._forget_back_off(job.id)
        return self.shown(self.work(job))

    def _forget_back_off(self, job_id: str) -> None:
        if self.ledger.job(job_id):
            self.redis.hset(f"replicator:job:{job_id}", "not_before", "0")

    def end_outage(self, name: str) -> None:
        """A registry that was marked down may be tried now."""
        if self.redis.exists(f"replicator:down:{name}"):
            self.redis.hset(f"replicator:down:{name}", "until", "0")

    def expire(self, job: Job) -> None:
        """The lease runs out now, if anybody holds one."""
        if self.ledger.job(job.id):
            self.redis.hset(f"replicator:job:{job.id}", "lease_until", "0")

    def shown(self, view: JobView | None) -> JobView:
        assert view
        return view

    # Requests

    def forget_requests(self) -> None:
        for registry in self.registries.values():
            registry.log.clear()

    def asked(self, name: str) -> list[str]:
        """The requests to a registry since the last `run` began, names shortened: `PUT manifests/v1`."""
        return [
            f"{entry.method} {re.sub(r'^/v2/(?:.+?)/(?=manifests/|blobs/|tags/|referrers/)', '', entry.path)}"
            for entry in self[name].log
        ]

    def writes(self, name: str) -> list[str]:
        """The requests that changed something: all but GET and HEAD."""
        return [text for text in self.asked(name) if not text.startswith(("GET", "HEAD"))]

    def tags_written(self, name: str) -> list[str]:
        """The references of the manifests that were written, in this order."""
        return [text.removeprefix("PUT manifests/") for text in self.asked(name) if "PUT manifests/" in text]

"""Jobs between two servers at URLs, real or ours behind a socket: what `World` is for registries without one."""

from typing import Self

from replicator.jobs import Job
from replicator.ledger import JobView, Ledger, Submission
from replicator.oci import Repository, parse_reference
from replicator.registry import RegistryClient, connect
from replicator.rules import Credential, Registry, RegistryType, Rule, RuleSet
from replicator.transfer import Leases, Tools, bring_in_line
from tests.integration.transfer.world import ALL, API, a_rule

EVERYTHING = a_rule(filters=ALL)
"""A rule that copies all of `eu` to `us`."""


class Bridge:
    """A rule from `eu` to `us`, and a worker between them that tries a job when it is told to."""

    def __init__(
        self,
        ledger: Ledger,
        eu: str,
        us: str,
        *,
        rule: Rule = EVERYTHING,
        credential: Credential | None = None,
    ) -> None:
        described = {
            name: Registry(name, RegistryType.DISTRIBUTION, url, credential)
            for name, url in (("eu", eu), ("us", us))
        }
        self.clients: dict[str, RegistryClient] = {
            name: connect(each, gate=ledger.budgets.of(name, each.limits)) for name, each in described.items()
        }
        rules = RuleSet(described, (rule,))
        self.urls = (eu, us)
        self.ledger = ledger
        self.rule = rule
        leases = Leases(ledger, lease_s=ledger.lease_s)
        self.tools = Tools(ledger, lambda: rules, self.clients.__getitem__, leases)

    def run(self, reference: str = "v1", *, repository: str = API, action: str | None = "push") -> JobView:
        """Ask for the job, by an event or with no action by a resync, and try it once."""
        job = Job(self.rule.name, "us", Repository(repository), parse_reference(reference))
        self.ledger.submit([Submission(job, self.ledger.view.now(), action)])
        return self.work(reference, repository=repository)

    def work(self, reference: str = "v1", *, repository: str = API) -> JobView:
        """Try a job that was asked for, if it is due."""
        job = Job(self.rule.name, "us", Repository(repository), parse_reference(reference))
        bring_in_line(job.id, self.tools)
        view = self.ledger.view.job_view(job.id)
        assert view
        return view

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for client in self.clients.values():
            client.close()

"""/metrics, and the gauges that are state: computed from the ledger when Prometheus asks.

So they are right however many workers there are, and stay right when one dies. Every enabled rule has its gauges at
every destination from the start. When the ledger does not answer they are missing from the scrape, because an old or
invented lag is worse than none.
"""

import logging
from collections.abc import Iterable, Iterator

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from replicator.errors import TemporaryError
from replicator.ledger import Lane, Ledger, lanes_of
from replicator.rulefiles import RuleBook
from replicator.rules import Rule, RuleSet
from replicator.telemetry import render_metrics

log = logging.getLogger(__name__)


def lag_s(lane: Lane, now: float) -> float:
    """Age of the oldest wanted change that is not verified at the destination; 0 when in line."""
    return 0.0 if lane.oldest_since is None else max(0.0, now - lane.oldest_since)


class LedgerCollector(Collector):
    """Gauges of contract A5 that the ledger and the rule book know."""

    def __init__(self, *, rules: RuleBook, ledger: Ledger) -> None:
        self._rules = rules
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        """The gauges as of now."""
        rules = self._rules.current
        yield _gauge(
            "replicator_rules_reload_failed",
            "1 while the newest revision of the rule files is broken and an older one is in force.",
            [((), float(self._rules.error is not None))],
        )
        try:
            yield from [*self._lanes(rules), *self._sweeps(rules), *self._registries(rules)]
        except TemporaryError as exc:
            log.warning("gauges left out of a scrape", extra={"cause": str(exc)})

    def _lanes(self, rules: RuleSet) -> Iterator[Metric]:
        lanes = lanes_of(self._ledger.view, rules)
        now = self._ledger.view.now()
        found = [(rule, there.registry, lanes[rule.name, there.registry]) for rule, there in rules.lanes]
        yield _gauge(
            "replicator_lag_seconds",
            "Age of the oldest wanted change not yet verified at the destination; 0 when in line.",
            [((rule.name, rule.source, there), lag_s(lane, now)) for rule, there, lane in found],
            labels=("rule", "source", "destination"),
        )
        yield _lane_gauge(
            "pending", "Jobs that wait or run.", [(rule, there, lane.pending) for rule, there, lane in found]
        )
        yield _lane_gauge(
            "failed",
            "Jobs parked until somebody looks.",
            [(rule, there, lane.failed) for rule, there, lane in found],
        )
        yield _lane_gauge(
            "blocked",
            "Jobs that need a person's yes.",
            [(rule, there, lane.blocked) for rule, there, lane in found],
        )

    def _sweeps(self, rules: RuleSet) -> Iterator[Metric]:
        # One that was never compared has no sample: 0 would look like a comparison that found nothing.
        swept = self._ledger.sweeps.swept([(rule.name, there.registry) for rule, there in rules.lanes])
        yield _gauge(
            "replicator_drift_references",
            "References that the last whole comparison found not in line.",
            [(lane, float(found.drift)) for lane, found in swept.items()],
            labels=("rule", "destination"),
        )
        yield _gauge(
            "replicator_last_sweep_timestamp_seconds",
            "When a rule was last compared as a whole with a destination.",
            [(lane, found.at) for lane, found in swept.items()],
            labels=("rule", "destination"),
        )

    def _registries(self, rules: RuleSet) -> Iterator[Metric]:
        gone = self._ledger.availability.unreachable(rules.registries)
        yield _gauge(
            "replicator_registry_available",
            "1, or 0 from the first request that the registry does not answer until a job gets on with it again.",
            [((name,), float(name not in gone)) for name in rules.registries],
            labels=("registry",),
        )
        windows = self._ledger.budgets.windows({name: its.limits for name, its in rules.registries.items()})
        yield _gauge(
            "replicator_registry_window",
            "Requests at once that a registry gets, where it has a limit or asked for fewer.",
            [((name,), float(size)) for name, size in windows.items()],
            labels=("registry",),
        )


def metrics_routes(collector: Collector) -> APIRouter:
    """/metrics: this process, everything that shares its counters, and the gauges of `collector`."""
    routes = APIRouter(include_in_schema=False)

    # Not async: reading the ledger blocks, so it belongs in the thread pool.
    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(render_metrics(collector), media_type=CONTENT_TYPE_LATEST)

    return routes


def _lane_gauge(state: str, meaning: str, values: list[tuple[Rule, str, int]]) -> Metric:
    samples = [((rule.name, there), float(count)) for rule, there, count in values]
    return _gauge(f"replicator_{state}_jobs", meaning, samples, labels=("rule", "destination"))


def _gauge(
    name: str, meaning: str, samples: Iterable[tuple[tuple[str, ...], float]], *, labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family

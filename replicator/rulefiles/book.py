"""The rules in force: reloaded when their files change, never replaced by a broken revision.

Files are looked at when somebody asks, at most once a second. A revision is taken up once it has settled: seen alike
twice, or unchanged for a while. An editor or a checkout writes file after file, and what lies between can be sound
and still not be what anybody meant. From a change to the new rules that takes two looks, so two to three seconds.

That a process has just begun makes a broken revision no better. So whoever takes up a sound one may keep it on disk,
and who starts while the files are broken begins with what was kept.
"""

import copy
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from replicator.rulefiles import directory
from replicator.rulefiles.directory import Snapshot, Stamp
from replicator.rulefiles.keep import recall, store
from replicator.rulefiles.load import Loaded, build
from replicator.rulefiles.problems import Problem, RulesError
from replicator.rules import RuleSet

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_SETTLED_S = 1.0
# What a broken revision lacks may be outside of the rule files (a secret file), so it is tried again.
_RETRY_S = 5.0


class RuleBook:
    """The current rules of a directory, for any number of threads.

    Every sound revision is kept in the file `keep`. Raises RulesError if the first load fails and none was kept.
    """

    def __init__(
        self,
        rules_directory: Path,
        environ: Mapping[str, str],
        *,
        keep: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = rules_directory
        self._environ = environ
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._error: str | None = None
        self._seen: Stamp = ()
        self._looked_at = self._tried_at = self._loaded_at = clock()
        self._loaded = self._begin()
        self._tried: Stamp = self._seen

    @property
    def current(self) -> RuleSet:
        """The newest sound revision; looks for a newer one first, if the last look is a second ago. Never raises."""
        if abs(self._clock() - self._looked_at) >= _LOOK_S and self._lock.acquire(blocking=False):
            # Whoever comes while another thread looks takes what is there.
            try:
                self._look()
            finally:
                self._lock.release()
        return self._loaded.rules

    @property
    def error(self) -> str | None:
        """Why the files as they are now are not in force, one mistake in a line; None if they are."""
        return self._error

    @property
    def warnings(self) -> list[Problem]:
        """What a person should know of the rules in force."""
        return list(self._loaded.warnings)

    @property
    def loaded_at(self) -> float:
        """When the rules in force were loaded, as seconds since the epoch."""
        return self._loaded_at

    def forked(self) -> Self:
        """The same rules for a process that was forked from this one: it looks for newer ones at once.

        A thread that stayed behind may have been looking at that moment: it holds the lock for ever, and what it had
        noted as tried was perhaps never taken up.
        """
        twin = copy.copy(self)
        twin._lock = threading.Lock()
        twin._seen = twin._tried = ()
        twin._looked_at = 0.0
        return twin

    def _begin(self) -> Loaded:
        kept = recall(self._keep, self._directory) if self._keep else None
        try:
            self._seen = directory.stamp(self._directory)
            return self._build(directory.read(self._directory), had_files=bool(kept and kept.documents))
        except RulesError as exc:
            if kept is None:
                raise
            try:
                loaded = build(kept, self._environ)
            except RulesError:
                # A secret is gone, say. What is wrong with the files of today is the better thing to tell.
                raise exc from None
            self._fail(exc)
            return loaded

    def _look(self) -> None:
        self._looked_at = now = self._clock()
        try:
            seen = directory.stamp(self._directory)
            settled = seen == self._seen or _is_old(seen, now)
            self._seen = seen
            if settled and self._is_due(seen, now):
                self._reload(seen, now)
        except RulesError as exc:
            self._fail(exc)

    def _is_due(self, seen: Stamp, now: float) -> bool:
        return seen != self._tried or (self._error is not None and abs(now - self._tried_at) >= _RETRY_S)

    def _reload(self, seen: Stamp, now: float) -> None:
        snapshot = directory.read(self._directory)
        if directory.stamp(self._directory) != seen:
            # They changed while we read them; the next look sees that too.
            return
        self._tried, self._tried_at = seen, now
        known = self._loaded.rules
        if self._error is None and snapshot.revision == known.revision:
            return
        self._loaded = self._build(snapshot, had_files=bool(known.rules or known.registries))
        self._error = None
        self._loaded_at = now
        log.info("rules reloaded", extra={"revision": self._loaded.rules.revision})

    def _build(self, snapshot: Snapshot, *, had_files: bool) -> Loaded:
        if had_files and not snapshot.documents:
            raise RulesError([Problem(str(self._directory), 1, 1, "all rule files are gone")])
        loaded = build(snapshot, self._environ)
        if self._keep:
            store(self._keep, snapshot)
        return loaded

    def _fail(self, error: RulesError) -> None:
        # A revision that stays broken is told once.
        if str(error) != self._error:
            log.error("rules not reloaded", extra={"problems": [str(item) for item in error.problems]})
        self._error = str(error)


def _is_old(stamp: Stamp, now: float) -> bool:
    newest_s = max((max(item[3:]) for item in stamp), default=0) / 1e9
    return newest_s + _SETTLED_S <= now

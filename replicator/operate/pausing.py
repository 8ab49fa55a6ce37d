"""Pausing and resuming a rule or a destination by name."""

from replicator.errors import ConfigError, PermanentError
from replicator.ledger import PauseKind
from replicator.operate.desk import Desk


def pause(desk: Desk, kind: PauseKind, name: str, reason: str = "") -> bool:
    """From now on nothing of it is started. False if it was paused before: then only the reason is new.

    Raises ConfigError, which names the known ones, for a name that no rule file knows.
    """
    rules = desk.rules().rules
    if kind is PauseKind.RULE:
        known = {rule.name for rule in rules}
    else:
        known = {there.registry for rule in rules for there in rule.destinations}
    if name not in known:
        raise ConfigError(
            f"no rule file knows a {kind} {name!r}; there are: {', '.join(sorted(known)) or 'none'}"
        )
    return desk.ledger.pauses.pause(kind, name, reason)


def resume(desk: Desk, kind: PauseKind, name: str) -> None:
    """What waited is due at once, under a rule's former names, too. Raises PermanentError, which names what is paused,
    if this is not.
    """
    rule = desk.rules().rule(name) if kind is PauseKind.RULE else None
    if not desk.ledger.pauses.resume(kind, *(rule.names if rule else (name,))):
        paused = ", ".join(f"{it.kind} {it.name}" for it in desk.ledger.pauses.all())
        raise PermanentError(f"the {kind} {name!r} is not paused; paused are: {paused or 'none'}")

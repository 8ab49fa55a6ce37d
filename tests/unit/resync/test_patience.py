import pytest

from replicator.errors import Denied, RateLimited, TemporaryError, Unavailable
from replicator.resync.patience import LONGEST_WAIT_S, PAUSES_S, Patience


class Script:
    """A registry that gives, or raises, one thing after another."""

    def __init__(self, *said: object) -> None:
        self.said = list(said)
        self.slept: list[float] = []

    def ask(self) -> object:
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def read(self) -> object:
        return self.patience.read("us", self.ask)

    @property
    def patience(self) -> Patience:
        return self.__dict__.setdefault("_patience", Patience(sleep=self.slept.append))


def test_a_hiccup_is_asked_again() -> None:
    script = Script(TemporaryError("500"), "yes")

    assert script.read() == "yes"
    assert script.slept == [PAUSES_S[0]]


def test_a_registry_is_given_the_time_that_it_asks_for() -> None:
    script = Script(
        RateLimited("slow", registry="us", retry_after=7), RateLimited("", registry="us", retry_after=1e6), 1
    )

    assert script.read() == 1
    assert script.slept == [7, LONGEST_WAIT_S]


def test_a_refusal_is_final_at_once() -> None:
    script = Script(Denied("no"))

    with pytest.raises(Denied):
        script.read()

    assert script.slept == []


def test_one_that_never_answers_is_asked_no_more() -> None:
    away = Unavailable("us does not answer", registry="us")
    script = Script(*[away] * 4)

    with pytest.raises(Unavailable):
        script.read()
    with pytest.raises(Unavailable, match="us does not answer"):
        script.read()

    assert script.patience.read("eu", lambda: "fine") == "fine"


def test_one_that_fails_otherwise_is_asked_again_for_something_else() -> None:
    script = Script(*[TemporaryError("500")] * 4, "yes")

    with pytest.raises(TemporaryError):
        script.read()

    assert script.read() == "yes"

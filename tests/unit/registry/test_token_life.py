"""How long a token is used, and when it is renewed."""

import httpx
import pytest

from replicator.registry.exchange import Exchange
from replicator.registry.login import Login
from tests.unit.registry.guarded import WITH_ROBOT, Guarded


@pytest.mark.parametrize("life", [None, "long", True, -5, 0])
def test_a_token_without_a_sound_lifetime_lives_a_minute(life: object) -> None:
    clock = Clock()
    guarded = Guarded(life_s=life)
    login = learned(guarded, clock)

    clock.now += 47
    login.header(("repository:a:pull",))
    assert len(guarded.given) == 1
    clock.now += 2
    login.header(("repository:a:pull",))
    assert len(guarded.given) == 2


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def learned(guarded: Guarded, clock: Clock) -> Login:
    login = Login(Exchange(WITH_ROBOT, transport=httpx.MockTransport(guarded)), clock=clock)
    login.header(("repository:a:pull",))
    return login


def test_a_token_is_renewed_before_it_ends_and_earlier_for_a_long_request() -> None:
    clock = Clock()
    guarded = Guarded(life_s=100)
    login = learned(guarded, clock)

    clock.now += 60
    login.header(("repository:a:pull",))
    assert len(guarded.given) == 1
    login.header(("repository:a:pull",), is_long=True)
    assert len(guarded.given) == 2
    clock.now += 81
    login.header(("repository:a:pull",))
    assert len(guarded.given) == 3


@pytest.mark.parametrize("life", [10**400, 1e308])
def test_an_endless_token_is_renewed_within_half_a_day(life: object) -> None:
    clock = Clock()
    guarded = Guarded(life_s=life)
    login = learned(guarded, clock)

    clock.now += 12 * 3600
    login.header(("repository:a:pull",))

    assert len(guarded.given) == 2


def test_tokens_of_very_many_repositories_are_not_all_kept() -> None:
    clock = Clock()
    guarded = Guarded()
    login = learned(guarded, clock)

    for number in range(1100):
        login.header((f"repository:r{number}:pull",))
    before = len(guarded.given)
    login.header(("repository:a:pull",))

    assert len(guarded.given) == before + 1

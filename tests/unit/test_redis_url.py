"""What URLs of Redis say."""

import pytest

from replicator.redis_url import Sentinels, check


def test_a_sentinel_url_names_sentinels_service_and_database() -> None:
    said = Sentinels.of("redis+sentinel://user:p%40ss@one.example:7000,two.example,[::1]:7002/main/3")

    assert said == Sentinels(
        hosts=(("one.example", 7000), ("two.example", 26379), ("::1", 7002)),
        service="main",
        database=3,
        username="user",
        password="p@ss",
    )


def test_a_sentinel_url_may_say_how_to_log_in_to_sentinels_and_whom_to_trust() -> None:
    said = Sentinels.of("rediss+sentinel://s/main?ssl_ca_certs=/ca.pem&sentinel_password=other")

    assert said == Sentinels(
        hosts=(("s", 26379),),
        service="main",
        sentinel_login={"password": "other"},
        is_tls=True,
        tls_files={"ssl_ca_certs": "/ca.pem"},
    )


@pytest.mark.parametrize("url", ["redis://a", "rediss://a/1", "unix:///run/redis.sock?db=2"])
def test_the_url_of_a_server_is_left_to_those_who_connect(url: str) -> None:
    assert check(url) == url
    assert Sentinels.of(url) is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:hush@cache", "must begin with redis://"),
        ("redis+sentinel://:hush@one", "names the service"),
        ("redis+sentinel://:hush@one/", "names the service"),
        ("redis+sentinel://:hush@one/main/x", "must be a number"),
        ("redis+sentinel://:hush@one:70000/main", "up to 65535"),
        ("redis+sentinel://:hush@one,/main", "none that is empty"),
        ("redis+sentinel:///main", "at least one host"),
        ("rediss+sentinel://:hush@one/main?ssl_cert_reqs=none", "takes no options but .*ssl_ca_certs"),
        ("redis+sentinel://:no/5?hush=1@one/main", "takes no options but"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_repeated(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        check(url)

    assert "hush" not in str(refused.value)


def test_a_password_does_not_show() -> None:
    said = Sentinels.of("redis+sentinel://u:hush@one/main?sentinel_password=hush")

    assert "hush" not in repr(said)

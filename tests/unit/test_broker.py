"""The broker's settings, as values. Ringing needs a server: see the integration tests."""

import ssl

import pytest
from celery.app.defaults import NAMESPACES, flatten
from kombu import Connection

from replicator.broker import DOORBELL_LIMIT_S, add_queue, make_app, queue_name

KNOWN = {name for name, _ in flatten(NAMESPACES)}


def test_celery_knows_every_setting() -> None:
    # Celery ignores what it does not know, a misspelt safety included.
    app = make_app("redis://localhost")

    assert set(app.conf.changes) - KNOWN - {"deprecated_settings"} == set()


@pytest.mark.parametrize(
    ("url", "host", "database"),
    [
        ("redis://cache.example:7000/3", "cache.example", "3"),
        ("redis://cache.example?db=4", "cache.example", "4"),
        ("redis://cache.example", "cache.example", "0"),
        ("rediss://user:p%40ss@cache.example/1", "cache.example", "1"),
    ],
)
def test_a_redis_url_means_the_same_to_kombu(url: str, host: str, database: str) -> None:
    connection = Connection(make_app(url).conf.broker_url, ssl={"ssl_cert_reqs": ssl.CERT_REQUIRED})

    assert connection.hostname == host
    assert connection.virtual_host == database


def test_login_and_password_reach_the_broker() -> None:
    inline = Connection(make_app("redis://user:p%40ss@cache.example").conf.broker_url)
    queried = Connection(make_app("redis://cache.example?username=user&password=p@ss").conf.broker_url)

    assert (inline.userid, inline.password) == (queried.userid, queried.password) == ("user", "p@ss")


def test_a_socket_url_takes_kombus_spelling() -> None:
    assert (
        make_app("unix:///run/redis.sock?db=2").conf.broker_url
        == "redis+socket:///run/redis.sock?virtual_host=2"
    )
    assert (
        make_app("unix://:secret@/run/redis.sock").conf.broker_url
        == "redis+socket://:secret@/run/redis.sock?virtual_host=0"
    )


def test_tls_verifies_the_server_with_the_files_of_the_url() -> None:
    app = make_app("rediss://cache.example?ssl_ca_certs=/etc/ca.pem")

    assert app.conf.broker_use_ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ca.pem"}


def test_a_queue_is_declared_once_a_destination() -> None:
    app = make_app("redis://localhost", ["us", "ap"])

    add_queue(app, "us")

    assert sorted(app.amqp.queues) == [queue_name("ap"), queue_name("us")]


def test_a_message_outlives_the_longest_task() -> None:
    conf = make_app("redis://localhost").conf

    assert conf.broker_transport_options["visibility_timeout"] > DOORBELL_LIMIT_S


def test_no_task_leaves_a_timer_behind() -> None:
    # Celery keeps one for each task with a limit until the limit is over, not until the task is.
    conf = make_app("redis://localhost").conf

    assert (conf.task_soft_time_limit, conf.task_time_limit) == (None, None)


def test_sentinels_are_all_told_to_kombu_with_login_and_database() -> None:
    conf = make_app("redis+sentinel://user:p%40ss@one:7000,[::1]/main/2?sentinel_password=s").conf

    urls = "sentinel://user:p%40ss@one:7000/2;sentinel://user:p%40ss@[::1]:26379/2"
    assert conf.broker_url == urls
    assert conf.broker_use_ssl is None
    assert conf.broker_transport_options["master_name"] == "main"
    assert conf.broker_transport_options["sentinel_kwargs"]["password"] == "s"


def test_tls_to_sentinels_verifies_as_well() -> None:
    conf = make_app("rediss+sentinel://one/main?ssl_ca_certs=/etc/ca.pem").conf

    assert conf.broker_use_ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/etc/ca.pem"}
    asking = conf.broker_transport_options["sentinel_kwargs"]
    assert (asking["ssl"], asking["ssl_ca_certs"]) == (True, "/etc/ca.pem")

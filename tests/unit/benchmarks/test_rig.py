"""What benchmarks read from docker-registry's access log and from /proc."""

import os
import time

from benchmarks.rig import answered_bytes, counted, cpu_s

LOG = b"""\
time="2026-11-26T00:49:40Z" level=info msg="listening on 127.0.0.1:5000" go.version=go1.19.8
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "GET /v2/team/app/blobs/sha256:00 HTTP/1.1" 200 1200 "" "curl/7"
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "GET /v2/team/app/blobs/sha256:01 HTTP/2.0" 200 34 "" "crane/0.20"
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "HEAD /v2/team/app/manifests/v1 HTTP/1.1" 404 0 "" "curl/7"
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "POST /v2/team/app/blobs/uploads/?mount=c&from=x HTTP/1.1" 202 0 "" ""
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "PUT /v2/team/app/blobs/uploads/1f-2?_state=ab&digest=c HTTP/1.1" 201 0 "" ""
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "GET /v2/team/app/tags/list?n=100 HTTP/1.1" 200 40 "" ""
127.0.0.1 - - [26/Nov/2026:00:49:40 +0000] "GET /v2/ HTTP/1.1" 200 2 "" ""
time="2026-11-26T00:49:41Z" level=info msg="response completed" http.request.uri="/v2/team/app/manifests/v1"
"""


def test_requests_are_counted_by_method_and_kind_whatever_the_version_of_http() -> None:
    assert counted(LOG) == {
        "GET blob": 2,
        "HEAD manifest": 1,
        "POST upload": 1,
        "PUT upload": 1,
        "GET listing": 1,
        "GET other": 1,
    }


def test_requests_of_one_client_are_told_from_those_of_others() -> None:
    assert counted(LOG, "crane/") == {"GET blob": 1}


def test_bytes_are_those_of_the_answers() -> None:
    assert answered_bytes(LOG) == 1200 + 34 + 40 + 2


def test_the_cpu_of_a_process_is_known_to_less_than_a_hundredth_of_a_second() -> None:
    before = cpu_s([os.getpid()])
    began = time.process_time()
    while time.process_time() < began + 0.003:
        pass

    assert 0.003 <= cpu_s([os.getpid()]) - before < 1.0


def test_a_process_that_is_gone_took_nothing_more() -> None:
    assert cpu_s([2**22 + 1]) == 0.0

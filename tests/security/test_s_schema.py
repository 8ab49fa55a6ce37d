"""Whatever is sent to the API, it answers as its OpenAPI document says, and never by an error of its own: S22."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Repository, Tag
from tests.fakes.web import TOKEN, Site, bearer

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 15
"""For each route and way to make them; `schemathesis run` makes as many as you like."""


@pytest.fixture
def ids(ledger: Ledger) -> list[str]:
    """The jobs that the ledger holds."""
    jobs = [Job("prod", "us", Repository(f"team/{name}"), Tag("v1")) for name in ("one", "two", "three")]
    ledger.submit([Submission(job, ledger.view.now(), "push") for job in jobs])
    return [job.id for job in jobs]


@pytest.fixture
def schema(ledger: Ledger) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_asgi("/api/openapi.json", Site(ledger=ledger).app)


def strategies(schema: schemathesis.schemas.BaseSchema) -> Iterator[st.SearchStrategy[Case]]:
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            if (
                mode is GenerationMode.POSITIVE
                or operation.body
                or operation.query
                or operation.path_parameters
            ):
                yield operation.as_strategy(generation_mode=mode)


def test_s22_every_answer_is_one_that_the_document_names(
    schema: schemathesis.schemas.BaseSchema, ids: list[str]
) -> None:
    statuses: set[int] = set()
    words = st.sampled_from([*ids, "prod", "us", "eu"])

    def tried(case: Case, word: str, is_known: bool) -> None:
        if is_known:
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, word)
        answer = case.call(headers=bearer(TOKEN))
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    for strategy in strategies(schema):
        bounded = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.filter_too_much,
                HealthCheck.data_too_large,
            ],
        )
        bounded(given(strategy, words, st.booleans())(tried))()

    assert {200, 202, 404, 422} <= statuses

"""Who may use the API's routes, and how the OpenAPI document says so: the scheme, its scopes, every error."""

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Security
from fastapi.params import Security as SecurityParameter
from fastapi.security import HTTPBearer

from replicator.web.answers import ErrorAnswer
from replicator.web.authentication import Scope, Tokens

Responses = dict[int | str, dict[str, Any]]

_BEARER = HTTPBearer(
    scheme_name="token",
    description="REPLICATOR_API_TOKEN may read and write, REPLICATOR_API_READ_TOKEN may only read. The roles that a "
    "route names are these scopes.",
    auto_error=False,
)


def _error(status: int, meaning: str) -> Responses:
    return {status: {"model": ErrorAnswer, "description": meaning}}


NOT_FOUND = _error(404, "there is nothing of that id")
NOT_AS_THINGS_STAND = _error(409, "it cannot be done as things stand")
READ_ERRORS: Responses = {
    **_error(401, "no token, or an unknown one"),
    **_error(422, "a value makes no sense, or names what is not there"),
    **_error(503, "Redis, or a registry, did not answer: try again"),
}
WRITE_ERRORS: Responses = {
    **READ_ERRORS,
    **_error(403, "the token may only read"),
    **_error(413, "the body is too large"),
    **NOT_AS_THINGS_STAND,
}


def may(scope: Scope, tokens: Tokens) -> SecurityParameter:
    """A dependency that lets nobody through but holders of a token with `scope`."""

    def authorize(request: Request, _said: Annotated[object, Depends(_BEARER)]) -> None:
        scopes = tokens.scopes(request.headers.get("authorization", ""))
        if not scopes:
            challenge = {"WWW-Authenticate": 'Bearer realm="replicator"'}
            raise HTTPException(401, "a bearer token is needed", challenge)
        if scope not in scopes:
            raise HTTPException(403, "this token may only read: REPLICATOR_API_TOKEN may write")

    found: SecurityParameter = Security(authorize, scopes=[scope.value])
    return found

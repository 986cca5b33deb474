"""Every error as an RFC 9457 problem document, made from the table of causes.

It must never show a stack, SQL or a driver's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from stompgate.model.causes import Cause, Refusal
from stompgate.ports.store import OutcomeUnknown, StoreUnavailable

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 2

_log = structlog.get_logger(__name__)

_EXPECTED: Mapping[str, str] = {
    "missing": "is required",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of ordinary size",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "bool_parsing": "must be true or false",
    "json_invalid": "must be JSON, in UTF-8",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "string_type": "must be a text",
    "extra_forbidden": "is not known here",
}


def problem(refusal: Refusal, *, headers: Mapping[str, str] | None = None, errors: Sequence[object] = ()) -> Response:
    """Return the problem document of a refusal. ``errors`` lists the fields at fault, where there are such."""
    cause, document = refusal.cause, refusal.problem()
    if errors:
        document["errors"] = errors
    extra = dict(headers or {})
    if cause.retry and cause.http_status == 503:
        extra["retry-after"] = str(RETRY_AFTER_S)
    if cause is Cause.TOKEN_REQUIRED:
        extra["www-authenticate"] = "Bearer"
    return Response(orjson.dumps(document), cause.http_status, extra, PROBLEM_JSON)


def install_problems(app: FastAPI) -> None:
    """Answer every error of ``app``, the framework's own included, with a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(StoreUnavailable, _store_unavailable)
    app.add_exception_handler(OutcomeUnknown, _outcome_unknown)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework_refused)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _failed)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    if error.detail:
        _log.info("request refused", path=request.url.path, cause=error.cause.code, detail=error.detail)
    return problem(error)


async def _store_unavailable(request: Request, error: Exception) -> Response:
    explanation = "The store does not answer now; nothing was changed. Try again later."
    return await _refused(request, Refusal(Cause.STORE_UNAVAILABLE, explanation, detail=str(error)))


async def _outcome_unknown(request: Request, error: Exception) -> Response:
    explanation = "It is not known whether this was done; the same request may be sent again."
    return await _refused(request, Refusal(Cause.OUTCOME_UNKNOWN, explanation, detail=str(error)))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_field_error(item) for item in error.errors()]
    detail = " ".join(f"{item['field']} {item['expected']}." for item in errors)
    return problem(Refusal(Cause.BAD_REQUEST, detail), errors=errors)


def _field_error(item: Mapping[str, Any]) -> dict[str, str]:
    """Say in our own words which field is wrong and what was expected of it."""
    place, *names = [str(step) for step in item["loc"]]
    where = f"{place} parameter {'.'.join(names)}" if names else place
    expected = _EXPECTED.get(item["type"], "has a value that cannot be used").format_map(item.get("ctx") or {})
    return {"field": where, "expected": expected}


async def _framework_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            refusal = Refusal(Cause.NOT_FOUND)
        case 405:
            refusal = Refusal(Cause.METHOD_NOT_ALLOWED, f"This path does not take {request.method}.")
        case status:
            refusal = Refusal(Cause.BAD_REQUEST if status < 500 else Cause.INTERNAL)
    return problem(refusal, headers=error.headers)


async def _left(_: Request, _error: Exception) -> Response:
    # The peer ended the connection within its request: no fault of ours, and nobody is there to read this.
    return problem(Refusal(Cause.BAD_REQUEST))


async def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, so the server's log has the stack.
    _log.error("request failed", path=request.url.path, error=type(error).__name__)
    return problem(Refusal(Cause.INTERNAL), headers={"cache-control": "no-store"})  # this answer passes no middleware

"""The path of inquiries to the support desk. It answers once the inquiry is stored; the mail is not waited for."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from stompgate.chat.inquiries import TooManyInquiries
from stompgate.model.causes import Cause, Refusal

from .addresses import address_of
from .answers import text_answer
from .objects import PROBLEMS
from .parts import HttpParts, HttpSettings
from .problems import problem
from .requests import read_body

FIELDS = ("name", "email", "phone", "message")

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {field: {"type": "string"} for field in FIELDS},
                }
            }
        },
    }
}


def inquiry_routes(parts: HttpParts, settings: HttpSettings) -> APIRouter:
    """Return the routes below ``/inquiry``."""
    routes = APIRouter(prefix="/inquiry", tags=["inquiries"], responses=PROBLEMS)

    @routes.post("/upload", response_class=PlainTextResponse, summary="Ask the support desk", openapi_extra=_BODY)
    async def upload(request: Request) -> Response:
        """Answers the text `success` once the inquiry is stored; the mail follows from there, with retries.

        429 with Retry-After: too many came from this address, or from everyone together.
        """
        body = await read_body(request, settings.body_limit_bytes)
        fields = _read_fields(body)
        try:
            await parts.inquiries.take(**fields, address=address_of(request, settings.proxies))
        except TooManyInquiries as error:
            return problem(error, headers={"retry-after": str(error.retry_after_s)})
        return text_answer("success")

    return routes


def _read_fields(body: bytes) -> dict[str, str]:
    # The content type is not looked at: existing clients name odd ones.
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(Cause.BAD_REQUEST, "The body must be a JSON object in UTF-8.", detail=str(error)) from error
    if not isinstance(given, dict):
        raise Refusal(Cause.BAD_REQUEST, "The body must be a JSON object.")
    return {field: _text(given.get(field), field) for field in FIELDS}


def _text(value: object, field: str) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case int() if not isinstance(value, bool):  # a phone number, say
            return str(value)
        case _:
            raise Refusal(Cause.BAD_REQUEST, f'"{field}" must be a text.')

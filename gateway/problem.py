"""Errors over HTTP: RFC 9457 problem details that name the field, what came and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from contracts.catalog import Availability
from contracts.errors import ContractError
from contracts.events import EventName, PageType

MEDIA_TYPE = "application/problem+json"
_TYPE_BASE = "/problems/"
_WORDS = {
    "event_name": get_args(EventName),
    "page_type": get_args(PageType),
    "availability": get_args(Availability),
}


class Problem(Exception):
    """An answer other than success.

    Args:
        status: HTTP status.
        code: stable word; `type` of the problem is `/problems/<code>`.
        title: the same sentence for every occurrence.
        detail: this occurrence: what came and what was expected.
        retry_after: seconds for the Retry-After header.
        extra: further members of the problem.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        retry_after: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.extra = dict(extra or {})

    def body(self) -> dict[str, Any]:
        """The members of the problem document."""
        return {
            "type": _TYPE_BASE + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }

    def response(self) -> Response:
        """The HTTP answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after)))}
        return Response(msgspec.json.encode(self.body()), self.status, headers, MEDIA_TYPE)


def of_contract(error: ContractError, *, pointer: str | None = None) -> dict[str, Any]:
    """The problem of one message that breaks the contract.

    Args:
        error: what the decoder said.
        pointer: index of the message in its batch, as JSON path; None for a single message.
    """
    path = error.path if pointer is None else pointer + error.path.removeprefix("$")
    words = _WORDS.get(error.path.rpartition(".")[2])
    expected = {"expected": words} if words is not None and "enum" in str(error) else {}
    return {
        "type": _TYPE_BASE + error.code.replace("_", "-"),
        "title": "The message breaks the contract",
        "status": 422,
        "detail": str(error),
        "field": path,
        **expected,
    }


def broker_away(detail: str, retry_after: float = 1.0) -> Problem:
    """503: nothing was accepted, the client should send the same again."""
    return Problem(503, "broker-unavailable", "The broker does not acknowledge", detail, retry_after=retry_after)


def not_found(what: str, detail: str) -> Problem:
    """404 for one kind of thing."""
    return Problem(404, f"{what}-not-found", f"There is no such {what}", detail)


async def answer_problem(_: Request, error: Exception) -> Response:
    """Starlette exception handler of :class:`Problem`."""
    if not isinstance(error, Problem):
        raise error
    return error.response()


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Starlette exception handler of unknown paths and methods."""
    status = getattr(error, "status_code", 500)
    titles = {404: "There is no such address", 405: "The method does not fit the address"}
    title = titles.get(status, "The request cannot be answered")
    detail = f"{request.method} {request.url.path}: {getattr(error, 'detail', '')}"
    return Problem(status, "http-error", title, detail).response()

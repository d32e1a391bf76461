"""Web pages of other origins, which browsers let call if the operator has listed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from router.api.front import UNLESS_SAID, fixed_headers
from router.observe.record import REQUEST_ID, new_record
from router.operating import Operating
from router.receipts import CHARGE_HEADER, RECEIPT_HEADER, REPLAY_HEADER, REQUEST_ID_HEADER, ROUTE_HEADER
from router.x402 import PAYMENT_HEADERS


class _Cors(CORSMiddleware):
    """Answers browsers' questions before a call with the headers that every other answer has.

    It stands outside of the front, so that pages may read refusals too.
    """

    def __init__(self, app: ASGIApp, *, fixed: Sequence[tuple[bytes, bytes]], **options: Any) -> None:
        super().__init__(app, **options)
        self._fixed = [(name.decode(), value.decode()) for name, value in fixed]

    def preflight_response(self, request_headers: Headers) -> Response:
        """See starlette."""
        answer = super().preflight_response(request_headers)
        given = request_headers.get(REQUEST_ID)
        record = new_record(None if given is None else given.encode("latin-1"), None)
        answer.headers.update({REQUEST_ID: record.request_id, **dict(self._fixed)})
        return answer


def with_cors(app: ASGIApp, operating: Operating) -> ASGIApp:
    """Lets pages of the listed origins call; without any, nothing is added."""
    if not operating.origins:
        return app
    told = (REQUEST_ID_HEADER, CHARGE_HEADER, RECEIPT_HEADER, REPLAY_HEADER, ROUTE_HEADER)
    exposed = (REQUEST_ID, "retry-after", *told, *PAYMENT_HEADERS)
    return _Cors(
        app,
        allow_origins=operating.origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=exposed,
        max_age=600,
        fixed=[*fixed_headers(operating), *UNLESS_SAID],
    )

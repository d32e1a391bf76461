"""Every refusal, in the error shape of the surface that was called."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mini_llm import errors as sdk
from mini_llm.routing.verdict import judge, refuses_content
from mini_llm.surfaces.paths import KeyInAddress, surface_of
from mini_llm.wallet.ceiling import CeilingOutOfRange, MalformedCeiling
from router import errors as own
from router.api import payment_errors, people_errors
from router.api.answer import INVALID, UNKNOWN_FIELD, UPSTREAM, ErrorAnswer, vibes
from router.db_trouble import trouble_of
from router.ledger import errors as books
from router.ledger import mirror
from router.ledger.rewards import ReferralRefused
from router.observe.logs import describe
from router.observe.record import current
from router.x402.errors import PaidCallFailed

log = logging.getLogger(__name__)

NOT_FOUND: Final = 404
CLIENT_CLOSED: Final = 499
"""nginx's status for a request whose client is gone; nobody receives it."""
RETRY_AFTER_S: Final = "1"
"""What a client whose first call with a key still runs is told to wait."""
LEDGER_RETRY_S: Final = "5"
"""When to come back to a router whose ledger cannot be used."""
STOPPED_RETRY_S: Final = "30"
"""When to come back to a router that an operator has stopped."""
LEDGER_UNAVAILABLE: Final = "ledger_unavailable"
MAY_BE_CHARGED: Final = "If this call was charged, GET /v1/account shows it."
_CLIENTS_FAULT: Final = frozenset({400, 413, 415, 422})
_UNVERSIONED: Final = frozenset({"/chat/completions", "/responses", "/embeddings", "/models", "/messages"})
"""Where a client calls whose base_url lacks the version."""
_BUSY: Final = frozenset({429, 503, 529})


def _malformed(error: RequestValidationError) -> ErrorAnswer:
    """A field of the path, query or body that its description does not allow; what was sent is not told."""
    first = next(iter(error.errors()), {"loc": (), "msg": "malformed", "type": ""})
    place = first["loc"][1:-1] if first["type"] == UNKNOWN_FIELD else first["loc"][1:]
    param = ".".join(str(part) for part in place) or None
    return ErrorAnswer(400, INVALID, "invalid_request", f"{param or 'the body'}: {first['msg']}", param)


def _in_deficit(error: books.AccountInDeficit) -> ErrorAnswer:
    return ErrorAnswer(
        402,
        "insufficient_funds",
        "account_in_deficit",
        f"Deposits of {vibes(error.deficit_base)} VIBES that you used are no longer on chain."
        " Deposit that much to go on.",
        values={"deficit_base": str(error.deficit_base)},
    )


def _insufficient(error: books.InsufficientFunds) -> ErrorAnswer:
    needed, available = vibes(error.needed_base), vibes(error.available_base)
    return ErrorAnswer(
        402,
        "insufficient_funds",
        "insufficient_funds",
        f"This call may cost up to {needed} VIBES and the account can spend {available}: "
        "deposit more, sign a higher ceiling, or lower max_tokens.",
        values={"available_base": str(error.available_base), "needed_base": str(error.needed_base)},
    )


def _cannot_pay(error: own.AccountCannotPay) -> ErrorAnswer:
    """The same without what the account has or owes, for a key without the scope to see it."""
    if error.needed_base is None:
        message = "The account that pays cannot be charged at present: ask whoever answers for it."
        return ErrorAnswer(402, "insufficient_funds", "account_in_deficit", message)
    return ErrorAnswer(
        402,
        "insufficient_funds",
        "insufficient_funds",
        f"This call may cost up to {vibes(error.needed_base)} VIBES, more than the account can spend: "
        "lower max_tokens, or ask whoever answers for the account.",
        values={"needed_base": str(error.needed_base)},
    )


def _refused(error: sdk.UpstreamRefused) -> ErrorAnswer:
    """Passes on complaints about the request only: a provider's other words are about us, not the client."""
    if error.status in _CLIENTS_FAULT or refuses_content(error):
        message = error.detail or "The provider refused the request as malformed."
        code = error.code if error.code and not error.code.isdecimal() else "upstream_refused"
        return ErrorAnswer(400, INVALID, code, message, error.param)
    if error.status in _BUSY:
        headers = {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
        message = "The provider is busy; nothing was charged. Try again later."
        return ErrorAnswer(503, UPSTREAM, "upstream_busy", message, headers=headers)
    if judge(error).low_credit:
        message = "The provider takes this call only with fewer max_tokens; nothing was charged."
        return ErrorAnswer(400, INVALID, "upstream_refused", message, "max_tokens")
    if error.status == NOT_FOUND and "model" in error.detail.lower():
        message = "The provider of this model does not have it, or not for the key that was used."
        return ErrorAnswer(NOT_FOUND, INVALID, "model_not_found", f"{message} Nothing was charged.", "model")
    if error.status in (408, 504):
        return ErrorAnswer(504, UPSTREAM, "upstream_timeout", "The provider timed out; nothing was charged.")
    return ErrorAnswer(502, UPSTREAM, "upstream_failed", "The provider failed; nothing was charged.")


def _none_can_serve(error: sdk.NoneCanServe) -> ErrorAnswer:
    if error.retry_after_s is None:
        return ErrorAnswer(400, INVALID, "no_suitable_deployment", str(error), "model")
    headers = {"retry-after": str(max(math.ceil(error.retry_after_s), 1))}
    return ErrorAnswer(503, UPSTREAM, "upstream_busy", str(error), headers=headers)


_SPECIAL: Final = people_errors.ANSWERS | payment_errors.ANSWERS
ANSWERS: Final[dict[type[Exception], Callable[[Any], ErrorAnswer]]] = _SPECIAL | {
    own.UnknownApiKey: lambda e: ErrorAnswer(
        401, INVALID, "invalid_api_key", str(e), headers={"www-authenticate": "Bearer"}
    ),
    KeyInAddress: lambda e: ErrorAnswer(401, INVALID, "key_in_address", str(e)),
    own.ClientGone: lambda e: ErrorAnswer(CLIENT_CLOSED, INVALID, "client_closed", str(e)),
    own.BodyTooLarge: lambda e: ErrorAnswer(413, INVALID, "body_too_large", str(e)),
    own.BadIdempotencyKey: lambda e: ErrorAnswer(400, INVALID, "bad_idempotency_key", str(e)),
    own.UnknownAdminKey: lambda e: ErrorAnswer(
        401, INVALID, "invalid_admin_key", str(e), headers={"www-authenticate": "Bearer"}
    ),
    own.TooManyWrongKeys: lambda e: ErrorAnswer(
        429, "rate_limit_error", "too_many_wrong_keys", str(e), headers={"retry-after": str(e.wait_s)}
    ),
    own.Draining: lambda e: ErrorAnswer(
        503, "server_error", "shutting_down", str(e), headers={"retry-after": RETRY_AFTER_S}
    ),
    own.StoppedByOperator: lambda e: ErrorAnswer(
        503, "server_error", "stopped_by_operator", str(e), headers={"retry-after": STOPPED_RETRY_S}
    ),
    own.NotReady: lambda e: ErrorAnswer(
        503, "server_error", "not_ready", str(e), headers={"retry-after": RETRY_AFTER_S}
    ),
    own.FileChanged: lambda e: ErrorAnswer(409, INVALID, "file_changed", str(e)),
    own.HoldsSecret: lambda e: ErrorAnswer(403, INVALID, "holds_secret", str(e)),
    own.NotEditable: lambda e: ErrorAnswer(403, INVALID, "not_editable", str(e)),
    own.NulCharacter: lambda e: ErrorAnswer(400, INVALID, "nul_character", str(e)),
    own.RepeatedHeader: lambda e: ErrorAnswer(400, INVALID, "repeated_header", str(e)),
    own.TooManyHeaders: lambda e: ErrorAnswer(431, INVALID, "too_many_headers", str(e)),
    own.EncodedBody: lambda e: ErrorAnswer(415, INVALID, "encoded_body", str(e)),
    own.NoHost: lambda e: ErrorAnswer(400, INVALID, "no_host", str(e)),
    own.UnknownHost: lambda e: ErrorAnswer(421, INVALID, "unknown_host", str(e)),
    own.AnswerGone: lambda e: ErrorAnswer(410, INVALID, "answer_gone", str(e)),
    own.UnknownReceipt: lambda e: ErrorAnswer(404, INVALID, "receipt_not_found", str(e)),
    own.UnknownPartner: lambda e: ErrorAnswer(404, INVALID, "partner_not_found", str(e)),
    own.NotConfigured: lambda e: ErrorAnswer(404, INVALID, "not_configured", str(e)),
    own.UnknownBundle: lambda e: ErrorAnswer(404, INVALID, "bundle_not_found", str(e)),
    own.WrongAccount: lambda e: ErrorAnswer(403, INVALID, "wrong_account", str(e)),
    MalformedCeiling: lambda e: ErrorAnswer(400, INVALID, "malformed_ceiling", str(e)),
    CeilingOutOfRange: lambda e: ErrorAnswer(400, INVALID, "malformed_ceiling", str(e)),
    books.CeilingRejected: lambda e: ErrorAnswer(400, INVALID, "ceiling_rejected", str(e)),
    books.UnknownAccount: lambda e: ErrorAnswer(404, INVALID, "account_not_found", str(e)),
    ReferralRefused: lambda e: ErrorAnswer(409, INVALID, "referral_refused", str(e)),
    mirror.UnknownCall: lambda e: ErrorAnswer(404, INVALID, "call_not_found", str(e), "request_id"),
    mirror.FeedbackTooLate: lambda e: ErrorAnswer(409, INVALID, "feedback_too_late", str(e), "request_id"),
    mirror.TooMuchFeedback: lambda e: ErrorAnswer(
        429, "rate_limit_error", "too_much_feedback", str(e), headers={"retry-after": str(e.wait_s)}
    ),
    books.NothingToUndo: lambda e: ErrorAnswer(409, INVALID, "nothing_to_undo", str(e)),
    books.InsufficientFunds: _insufficient,
    own.AccountCannotPay: _cannot_pay,
    books.AccountClosed: lambda e: ErrorAnswer(403, INVALID, "account_closed", str(e)),
    books.AccountInDeficit: _in_deficit,
    books.AccountPaused: lambda e: ErrorAnswer(403, INVALID, "account_paused", str(e)),
    books.IdempotencyMismatch: lambda _: ErrorAnswer(
        422, INVALID, "idempotency_mismatch", "This Idempotency-Key came before with another body."
    ),
    books.InFlight: lambda _: ErrorAnswer(
        409,
        INVALID,
        "idempotency_in_flight",
        "The first call with this Idempotency-Key still runs, or its outcome is not known yet.",
        headers={"retry-after": RETRY_AFTER_S},
    ),
    RequestValidationError: _malformed,
    sdk.BadRequest: lambda e: ErrorAnswer(400, INVALID, "invalid_request", e.message, e.param),
    sdk.UnknownModel: lambda e: ErrorAnswer(404, INVALID, "model_not_found", str(e), "model"),
    sdk.NoneCanServe: _none_can_serve,
    sdk.UpstreamRefused: _refused,
    sdk.UpstreamTimeout: lambda _: ErrorAnswer(
        504, UPSTREAM, "upstream_timeout", "The provider did not answer in time; nothing was charged."
    ),
    sdk.UpstreamUnreachable: lambda _: ErrorAnswer(
        502, UPSTREAM, "upstream_unreachable", "The provider cannot be reached; nothing was charged."
    ),
    sdk.AnswerTooLarge: lambda e: ErrorAnswer(  # no 5xx, which clients repeat by themselves
        400,
        INVALID,
        "answer_too_long",
        f"The answer has more than {e.limit_bytes >> 20} MiB; nothing was charged. "
        "Ask for fewer tokens, choices or logprobs, or for a stream.",
    ),
    sdk.UpstreamProtocolError: lambda _: ErrorAnswer(
        502, UPSTREAM, "upstream_failed", "The provider's answer is unusable; nothing was charged."
    ),
}
"""One row for each typed error that may reach a client."""


def told(error: Exception) -> ErrorAnswer:
    """The answer to whatever a request raised; an untyped error is a fault, logged without its words."""
    if isinstance(error, PaidCallFailed):  # as without a payment, and what became of that
        plain = told(error.error)
        return replace(plain, headers=plain.headers | error.headers)
    for kind in type(error).__mro__:
        if (answer := ANSWERS.get(kind)) is not None:
            said = answer(error)
            current().outcome = said.code
            return said
    if (trouble := trouble_of(error)) is not None:
        log.error("the ledger cannot be used: %s", trouble)
        current().outcome = LEDGER_UNAVAILABLE
        return _ledger_unavailable()
    log.error("fault: %s", describe(error))
    current().outcome = "internal_error"
    return ErrorAnswer(500, "server_error", "internal_error", f"The router failed. {MAY_BE_CHARGED}")


def _ledger_unavailable() -> ErrorAnswer:
    charged = "Nothing was charged." if current().call_id is None else MAY_BE_CHARGED
    message = f"The router's ledger cannot be used at the moment. {charged} Try again later."
    headers = {"retry-after": LEDGER_RETRY_S}
    return ErrorAnswer(503, "server_error", LEDGER_UNAVAILABLE, message, headers=headers)


def install(app: FastAPI) -> None:
    """Registers the answers, and the same shape for what the web framework itself refuses."""
    for kind in ANSWERS:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(HTTPException, http_refusal)
    app.add_exception_handler(DBAPIError, _answer)
    app.add_exception_handler(Exception, _answer)


def _answer(request: Request, error: Exception) -> Response:
    return told(error).response(surface_of(request.scope))


def http_refusal(request: Request, error: Exception) -> Response:
    """The answer to what the web framework refuses, such as an address where nothing is."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    detail = str(getattr(error, "detail", "refused"))
    headers = dict(getattr(error, "headers", None) or {})
    if status == 404:
        detail = _not_found(request.url.path)
    return ErrorAnswer(status, INVALID, "invalid_request", detail, headers=headers).response(
        surface_of(request.scope)
    )


def _not_found(path: str) -> str:
    if path.rstrip("/") != path and path.rstrip("/"):
        return f"There is nothing at this address; without its last slash there may be: {path.rstrip('/')}"
    if path.startswith("/v1/v1"):  # Anthropic's and Google's clients add the version themselves
        return "There is nothing at this address: leave /v1 out of this client's base_url."
    if path in _UNVERSIONED:
        return f"There is nothing at this address: add /v1 to this client's base_url, for /v1{path}."
    return "There is nothing at this address; GET /openapi.json lists what there is."

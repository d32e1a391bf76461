"""Every refusal, in the error shape of the surface that was called."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mini_llm import errors as sdk
from mini_llm.routing.verdict import BUSY, CLIENTS_FAULT, judge, refuses_content
from mini_llm.surfaces.base import INVALID, UPSTREAM, WireError
from mini_llm.surfaces.paths import KeyInAddress, not_found, surface_of
from mini_llm.wallet.ceiling import CeilingOutOfRange, MalformedCeiling
from router import errors as own
from router.api import payment_errors, people_errors
from router.api.answer import SERVER, UNKNOWN_FIELD, Row, refusal, respond, too_often, vibes
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


def _malformed(error: RequestValidationError) -> WireError:
    """A field of the path, query or body that its description does not allow; what was sent is not told."""
    first = next(iter(error.errors()), {"loc": (), "msg": "malformed", "type": ""})
    place = first["loc"][1:-1] if first["type"] == UNKNOWN_FIELD else first["loc"][1:]
    param = ".".join(str(part) for part in place) or None
    return WireError(400, INVALID, "invalid_request", f"{param or 'the body'}: {first['msg']}", param)


def _in_deficit(error: books.AccountInDeficit) -> WireError:
    return WireError(
        402,
        "insufficient_funds",
        "account_in_deficit",
        f"Deposits of {vibes(error.deficit_base)} VIBES that you used are no longer on chain."
        " Deposit that much to go on.",
        values={"deficit_base": str(error.deficit_base)},
    )


def _insufficient(error: books.InsufficientFunds) -> WireError:
    needed, available = vibes(error.needed_base), vibes(error.available_base)
    return WireError(
        402,
        "insufficient_funds",
        "insufficient_funds",
        f"This call may cost up to {needed} VIBES and the account can spend {available}: "
        "deposit more, sign a higher ceiling, or lower max_tokens.",
        values={"available_base": str(error.available_base), "needed_base": str(error.needed_base)},
    )


def _cannot_pay(error: own.AccountCannotPay) -> WireError:
    """The same without what the account has or owes, for a key without the scope to see it."""
    if error.needed_base is None:
        message = "The account that pays cannot be charged at present: ask whoever answers for it."
        return WireError(402, "insufficient_funds", "account_in_deficit", message)
    return WireError(
        402,
        "insufficient_funds",
        "insufficient_funds",
        f"This call may cost up to {vibes(error.needed_base)} VIBES, more than the account can spend: "
        "lower max_tokens, or ask whoever answers for the account.",
        values={"needed_base": str(error.needed_base)},
    )


def _refused(error: sdk.UpstreamRefused) -> WireError:
    """Passes on complaints about the request only: a provider's other words are about us, not the client."""
    if error.status in CLIENTS_FAULT or refuses_content(error):
        message = error.detail or "The provider refused the request as malformed."
        code = error.code if error.code and not error.code.isdecimal() else "upstream_refused"
        return WireError(400, INVALID, code, message, error.param)
    if error.status in BUSY:
        headers = {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
        message = "The provider is busy; nothing was charged. Try again later."
        return WireError(503, UPSTREAM, "upstream_busy", message, headers=headers)
    if judge(error).low_credit:
        message = "The provider takes this call only with fewer max_tokens; nothing was charged."
        return WireError(400, INVALID, "upstream_refused", message, "max_tokens")
    if error.status == NOT_FOUND and "model" in error.detail.lower():
        message = "The provider of this model does not have it, or not for the key that was used."
        return WireError(NOT_FOUND, INVALID, "model_not_found", f"{message} Nothing was charged.", "model")
    if error.status in (408, 504):
        return WireError(504, UPSTREAM, "upstream_timeout", "The provider timed out; nothing was charged.")
    return WireError(502, UPSTREAM, "upstream_failed", "The provider failed; nothing was charged.")


def _none_can_serve(error: sdk.NoneCanServe) -> WireError:
    if error.retry_after_s is None:
        return WireError(400, INVALID, "no_suitable_deployment", str(error), "model")
    headers = {"retry-after": str(max(math.ceil(error.retry_after_s), 1))}
    return WireError(503, UPSTREAM, "upstream_busy", str(error), headers=headers)


_SPECIAL: Final = people_errors.ANSWERS | payment_errors.ANSWERS
ANSWERS: Final[dict[type[Exception], Row]] = _SPECIAL | {
    own.UnknownApiKey: lambda e: WireError(
        401, INVALID, "invalid_api_key", str(e), headers={"www-authenticate": "Bearer"}
    ),
    KeyInAddress: refusal(401, "key_in_address"),
    own.ClientGone: lambda e: WireError(CLIENT_CLOSED, INVALID, "client_closed", str(e)),
    own.BodyTooLarge: refusal(413, "body_too_large"),
    own.BadIdempotencyKey: refusal(400, "bad_idempotency_key"),
    own.UnknownAdminKey: lambda e: WireError(
        401, INVALID, "invalid_admin_key", str(e), headers={"www-authenticate": "Bearer"}
    ),
    own.TooManyWrongKeys: too_often("too_many_wrong_keys"),
    own.Draining: refusal(503, "shutting_down", SERVER, retry_after=RETRY_AFTER_S),
    own.StoppedByOperator: refusal(503, "stopped_by_operator", SERVER, retry_after=STOPPED_RETRY_S),
    own.StaleRate: refusal(503, "rate_stale", SERVER, retry_after=STOPPED_RETRY_S),
    own.NotReady: refusal(503, "not_ready", SERVER, retry_after=RETRY_AFTER_S),
    own.FileChanged: refusal(409, "file_changed"),
    own.HoldsSecret: refusal(403, "holds_secret"),
    own.NotEditable: refusal(403, "not_editable"),
    own.NulCharacter: refusal(400, "nul_character"),
    own.RepeatedHeader: refusal(400, "repeated_header"),
    own.TooManyHeaders: refusal(431, "too_many_headers"),
    own.EncodedBody: refusal(415, "encoded_body"),
    own.NoHost: refusal(400, "no_host"),
    own.UnknownHost: refusal(421, "unknown_host"),
    own.AnswerGone: refusal(410, "answer_gone"),
    own.UnknownReceipt: refusal(404, "receipt_not_found"),
    own.UnknownPartner: refusal(404, "partner_not_found"),
    own.NotConfigured: refusal(404, "not_configured"),
    own.UnknownBundle: refusal(404, "bundle_not_found"),
    own.WrongAccount: refusal(403, "wrong_account"),
    MalformedCeiling: refusal(400, "malformed_ceiling"),
    CeilingOutOfRange: refusal(400, "malformed_ceiling"),
    books.CeilingRejected: refusal(400, "ceiling_rejected"),
    books.UnknownAccount: refusal(404, "account_not_found"),
    ReferralRefused: refusal(409, "referral_refused"),
    mirror.UnknownCall: refusal(404, "call_not_found", param="request_id"),
    mirror.FeedbackTooLate: refusal(409, "feedback_too_late", param="request_id"),
    mirror.TooMuchFeedback: too_often("too_much_feedback"),
    books.NothingToUndo: refusal(409, "nothing_to_undo"),
    books.InsufficientFunds: _insufficient,
    own.AccountCannotPay: _cannot_pay,
    books.AccountClosed: refusal(403, "account_closed"),
    books.AccountInDeficit: _in_deficit,
    books.AccountPaused: refusal(403, "account_paused"),
    books.IdempotencyMismatch: lambda _: WireError(
        422, INVALID, "idempotency_mismatch", "This Idempotency-Key came before with another body."
    ),
    books.InFlight: lambda _: WireError(
        409,
        INVALID,
        "idempotency_in_flight",
        "The first call with this Idempotency-Key still runs, or its outcome is not known yet.",
        headers={"retry-after": RETRY_AFTER_S},
    ),
    RequestValidationError: _malformed,
    sdk.BadRequest: lambda e: WireError(400, INVALID, "invalid_request", e.message, e.param),
    sdk.UnknownModel: refusal(404, "model_not_found", param="model"),
    sdk.NoneCanServe: _none_can_serve,
    sdk.UpstreamRefused: _refused,
    sdk.UpstreamTimeout: lambda _: WireError(
        504, UPSTREAM, "upstream_timeout", "The provider did not answer in time; nothing was charged."
    ),
    sdk.UpstreamUnreachable: lambda _: WireError(
        502, UPSTREAM, "upstream_unreachable", "The provider cannot be reached; nothing was charged."
    ),
    sdk.AnswerTooLarge: lambda e: WireError(  # no 5xx, which clients repeat by themselves
        400,
        INVALID,
        "answer_too_long",
        f"The answer has more than {e.limit_bytes >> 20} MiB; nothing was charged. "
        "Ask for fewer tokens, choices or logprobs, or for a stream.",
    ),
    sdk.UpstreamProtocolError: lambda _: WireError(
        502, UPSTREAM, "upstream_failed", "The provider's answer is unusable; nothing was charged."
    ),
}
"""One row for each typed error that may reach a client."""


def told(error: Exception) -> WireError:
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
    return WireError(500, SERVER, "internal_error", f"The router failed. {MAY_BE_CHARGED}")


def _ledger_unavailable() -> WireError:
    charged = "Nothing was charged." if current().call_id is None else MAY_BE_CHARGED
    message = f"The router's ledger cannot be used at the moment. {charged} Try again later."
    headers = {"retry-after": LEDGER_RETRY_S}
    return WireError(503, SERVER, LEDGER_UNAVAILABLE, message, headers=headers)


def install(app: FastAPI) -> None:
    """Registers the answers, and the same shape for what the web framework itself refuses."""
    for kind in ANSWERS:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(HTTPException, http_refusal)
    app.add_exception_handler(DBAPIError, _answer)
    app.add_exception_handler(Exception, _answer)


def _answer(request: Request, error: Exception) -> Response:
    return respond(told(error), surface_of(request.scope))


def http_refusal(request: Request, error: Exception) -> Response:
    """The answer to what the web framework refuses, such as an address where nothing is."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    detail = str(getattr(error, "detail", "refused"))
    headers = dict(getattr(error, "headers", None) or {})
    if status == 404:
        detail = not_found(request.url.path, "; GET /openapi.json lists what there is")
    refused = WireError(status, INVALID, "invalid_request", detail, headers=headers)
    return respond(refused, surface_of(request.scope))

"""What a caller of the local gateway is told when there is no answer.

The providers' own words are passed on: they are about the caller's own keys and requests.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from mini_llm.config_sdk import WALLET
from mini_llm.errors import (
    AnswerTooLarge,
    BadRequest,
    MiniLLMError,
    NoneCanServe,
    ProviderError,
    StreamBrokeOff,
    UnknownModel,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mini_llm.routing.verdict import BUSY, CLIENTS_FAULT, judge, refuses_content
from mini_llm.surfaces.base import INVALID, UPSTREAM, WireError
from mini_llm.surfaces.paths import KeyInAddress
from mini_llm.wallet.errors import WalletError

_KEY_REFUSED: Final = frozenset({401, 403})
_NO_FUNDS: Final = 402


class Refused(MiniLLMError):
    """The gateway itself refuses a request; ``error`` says why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.error = WireError(status, INVALID, code, message)


def refusal_of(error: MiniLLMError) -> WireError:
    """The answer to a call that failed. Official clients ask by themselves again after a 5xx, unless they are
    told not to: what may be billed already is not to be paid twice."""
    refusal = _refusal(error)
    if judge(error).bills:
        return replace(refusal, headers=refusal.headers | {"x-should-retry": "false"})
    return refusal


def _refusal(error: MiniLLMError) -> WireError:
    match error:
        case Refused():
            return error.error
        case BadRequest():
            return WireError(400, INVALID, "invalid_request", error.message, error.param)
        case KeyInAddress():
            return WireError(401, INVALID, "key_in_address", str(error))
        case UnknownModel():
            return WireError(404, INVALID, "model_not_found", str(error), "model")
        case NoneCanServe() if error.retry_after_s is None:
            return WireError(400, INVALID, "no_suitable_deployment", str(error), "model")
        case NoneCanServe():
            return _busy(_told(error), error.retry_after_s)
        case StreamBrokeOff():
            return WireError(502, UPSTREAM, "stream_broke_off", str(error))
        case UpstreamRefused():
            return _upstream(error)
        case AnswerTooLarge():
            return WireError(400, INVALID, "answer_too_long", _told(error))
        case UpstreamTimeout():
            return WireError(504, UPSTREAM, "upstream_timeout", _told(error))
        case UpstreamUnreachable():
            return WireError(502, UPSTREAM, "upstream_unreachable", _told(error))
        case ProviderError():
            return WireError(502, UPSTREAM, "upstream_failed", _told(error))
        case WalletError():
            return WireError(_NO_FUNDS, "insufficient_funds", "wallet", _told(error))
    return WireError(500, "server_error", "internal_error", _told(error))


def _upstream(error: UpstreamRefused) -> WireError:
    message = f"{_told(error)}: {error.detail}" if error.detail else _told(error)
    if error.status in CLIENTS_FAULT or refuses_content(error):
        return WireError(400, INVALID, error.code or "upstream_refused", message, error.param)
    if error.status in BUSY:
        return _busy(message, error.retry_after)
    if error.status == _NO_FUNDS and error.provider == WALLET:
        return WireError(_NO_FUNDS, "insufficient_funds", error.code or "insufficient_funds", message)
    if error.status in _KEY_REFUSED:
        message += f"; see `mini-llm providers test {error.provider}`"
        return WireError(502, UPSTREAM, "key_refused", message)
    return WireError(502, UPSTREAM, "upstream_failed", message)


def _busy(message: str, retry_after_s: float | None) -> WireError:
    headers = {} if retry_after_s is None else {"retry-after": str(max(math.ceil(retry_after_s), 1))}
    return WireError(503, UPSTREAM, "upstream_busy", message, headers=headers)


def _told(error: MiniLLMError) -> str:
    """The error, and who was asked before it."""
    if len(error.hops) < 2:
        return str(error)
    return f"{error} (tried: {'; '.join(map(str, error.hops))})"

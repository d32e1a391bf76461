"""What a failed attempt means: ask again, ask elsewhere, or tell the client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mini_llm.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadRequest,
    MiniLLMError,
    UnknownModel,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
)
from mini_llm.wallet.errors import RouterUnreachable, WalletError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an error.

    Attributes:
        elsewhere: another deployment may do better.
        again: so may the same one, a little later.
        blames: the deployment is at fault, which counts against it.
        limited: it works, and asks for a pause.
        mend: what the operator has to mend before it can serve again; it is left alone at once.
        low_credit: the operator's account there is too low for so much, though not for less.
        bills: it may have done its work, and bill for it.
    """

    elsewhere: bool = True
    again: bool = False
    blames: bool = True
    limited: bool = False
    mend: str | None = None
    low_credit: bool = False
    bills: bool = False


FINAL: Final = Verdict(elsewhere=False, blames=False)
"""The request itself is at fault: every deployment would refuse it."""
UNSUITED: Final = Verdict(blames=False)
"""This deployment cannot serve this request; another may."""
TOO_MUCH: Final = Verdict(elsewhere=False, blames=False, bills=True)
"""The request asks for more than can be taken; every deployment would do the work in vain."""
BROKEN: Final = Verdict()
"""Wrong in a way that asking again does not mend."""
WASTED: Final = Verdict(bills=True)
"""It was asked, and may bill for what it did: not again, but elsewhere."""
TRANSIENT: Final = Verdict(again=True)
LIMITED: Final = Verdict(again=True, blames=False, limited=True)
KEY_REFUSED: Final = Verdict(blames=False, mend="its provider refuses the operator's key")
MOVED: Final = Verdict(mend="its provider's address leads elsewhere, so base_url is wrong")
LOW_CREDIT: Final = Verdict(blames=False, low_credit=True)

_REFUSALS: Final = {
    **dict.fromkeys((401, 402, 403), KEY_REFUSED),
    **dict.fromkeys((404, 405, 410, 501, 505), BROKEN),
    **dict.fromkeys((408, 409, 425), TRANSIENT),
    429: LIMITED,
}
CLIENTS_FAULT: Final = frozenset({400, 413, 415, 422})
"""Statuses of complaints about the request, which its sender may hear."""
BUSY: Final = frozenset({429, 503, 529})
"""Statuses of a provider that may do better later."""
_UNSUITED_CODES: Final = frozenset(
    {
        "context_length_exceeded",
        "invalid_encrypted_content",
        "model_not_found",
        "model_not_supported",
        "request_too_large",
        "unsupported_parameter",
        "unsupported_value",
    }
)
_UNSUITED_WORDS: Final = re.compile(
    r"context (length|window|size)|maximum context|prompt is too long|too many (input |prompt )?tokens"
    r"|input token count|(not|n't) support|unsupported|not available for this model"
    r"|signature",  # of thoughts, which those can read who had them
    re.IGNORECASE,
)
_CONTENT_WORDS: Final = re.compile(
    r"moderat(ed|ion)|flagged|safety|inappropriate|harmful|prohibited[ _-]?content|sensitive (content|words)"
    r"|content[ _-]?(policy|filter|management|moderat|violat|restrict)|data[ _-]?inspection"
    r"|(usage|content|community) (guidelines|polic(y|ies))",
    re.IGNORECASE,
)
_ACCOUNT_WORDS: Final = re.compile(
    r"\b(your|this|the) (account|organi[sz]ation|project|workspace|team|access|(api )?key)\b", re.IGNORECASE
)
"""Who is flagged by a provider may be the operator."""
_LENGTH_WORDS: Final = re.compile(
    r"(fewer|lower|reduce|less) (max[ _]?)?tokens|(fewer|lower|reduce|less) max_", re.IGNORECASE
)


def judge(error: MiniLLMError) -> Verdict:
    """What an attempt's error means for the next step."""
    if isinstance(error, UpstreamRefused):
        return _judge_refusal(error)
    if isinstance(error, AnswerTooLarge):
        return TOO_MUCH
    if isinstance(error, UpstreamTimeout | UpstreamProtocolError | AnswerLost):
        return WASTED
    if isinstance(error, UnknownModel | BadRequest):
        return UNSUITED  # a local server that went away, or a format that cannot be put in the provider's
    if isinstance(error, WalletError) and not isinstance(error, RouterUnreachable):
        return UNSUITED  # the user's limit, or a router that overcharges, is the same a moment later
    return TRANSIENT


def refuses_content(error: UpstreamRefused) -> bool:
    """The provider objects to what the request says, in a way that looks like something else: with the status
    of a refused key, or within a stream. Its words are for the request's sender."""
    if error.status not in (0, 403):
        return False
    said = f"{error.code or ''} {error.kind or ''} {error.detail}"
    return _CONTENT_WORDS.search(said) is not None and _ACCOUNT_WORDS.search(said) is None


def _judge_refusal(error: UpstreamRefused) -> Verdict:
    if refuses_content(error):
        return FINAL
    if error.status == 402 and _LENGTH_WORDS.search(error.detail):
        return LOW_CREDIT
    if error.status == 403 and not (error.detail or error.code or error.kind):
        return BROKEN  # the page of a proxy or firewall before the provider, which may object to one request
    verdict = _REFUSALS.get(error.status)
    if verdict is not None:
        return verdict
    if 300 <= error.status < 400:
        return MOVED
    if error.status == 0 or 400 <= error.status < 500:
        if error.code in _UNSUITED_CODES or _UNSUITED_WORDS.search(error.detail):
            return UNSUITED
        return FINAL if error.status else TRANSIENT
    return TRANSIENT  # 5xx, and errors inside a stream of which nothing has been passed on

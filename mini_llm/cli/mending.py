"""What to do about a call that failed: one line for each kind of failure."""

from __future__ import annotations

import math
from typing import Final

from mini_llm.cli.state import printable
from mini_llm.errors import (
    AnswerLost,
    MiniLLMError,
    StreamBrokeOff,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)

DETAIL_CHARACTERS: Final = 300
UNKNOWN_HOST: Final = "gaierror"
BAD_HEADER: Final = "InvalidHeader"

LATER: Final = "try again later; a second provider for the same models serves meanwhile"
_REFUSED: Final = {
    400: "it does not take this request: `mini-llm route` shows who would, another model may",
    401: "it does not take the key: set it anew (`mini-llm providers add {provider}`, or where doctor says)",
    402: "there is no credit left at this provider: add some there, or name another one",
    403: "the key may not do this: set another (`mini-llm providers add {provider}`) or name another model",
    404: "it does not have this model for your key: `mini-llm models` lists what can be called",
    413: "the request is too long for it: shorten it, or name a model with a longer context",
    422: "it does not take this request: `mini-llm route` shows who would, another model may",
}
_UNREACHABLE: Final = {
    UNKNOWN_HOST: "its host name is not known: correct its address in the settings, or look at the network",
    "ConnectionRefusedError": "nothing listens there: start that server, or correct its address",
    BAD_HEADER: "no header can carry its key: set it anew (`mini-llm providers add {provider}`)",
    "SSLCertVerificationError": "nobody whom this machine trusts vouches for it: address and clock right?",
}


def told(error: MiniLLMError) -> str:
    """The error, and on further lines what the provider says of it and what to do."""
    cause = error.cause if isinstance(error, StreamBrokeOff) else error
    lines = [str(error)]
    if isinstance(error, UpstreamUnreachable) and error.reason == BAD_HEADER:
        lines = [f"provider {error.provider!r} was not asked"]
    if isinstance(cause, UpstreamRefused) and cause.detail:
        lines.append(f"it says: {printable(' '.join(cause.detail.split()))[:DETAIL_CHARACTERS]}")
    if (mend := mend_of(cause)) is not None:
        lines.append(mend)
    return "\n".join([*lines, *getattr(error, "__notes__", ())])


def mend_of(error: MiniLLMError) -> str | None:
    """What to do about a failure, None if the error says it itself."""
    if isinstance(error, UpstreamRefused):
        mend = _REFUSED.get(error.status, LATER)
        if error.status == 429:
            wait = "wait" if error.retry_after is None else f"wait {math.ceil(error.retry_after)} s"
            mend = f"it is busy, or your limit there is reached: {wait}, or ask it for a higher limit"
        return mend.format(provider=error.provider)
    if isinstance(error, UpstreamTimeout):
        return f"{LATER}; providers.{error.provider}.read_timeout_s lets it take longer"
    if isinstance(error, AnswerLost):
        return "it may have been paid for: look at `mini-llm usage` before you repeat it"
    if isinstance(error, UpstreamUnreachable):
        mend = _UNREACHABLE.get(
            error.reason, "is its address right, and the network up? `mini-llm doctor` looks"
        )
        return mend.format(provider=error.provider)
    return None

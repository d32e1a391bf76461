"""What a call that leaves the model to us asks for, wherever it says so.

The body's field wins over the header of HTTP, and both win over what the model's name says.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from mini_llm.auto.choice import InvalidQuality, share_of
from mini_llm.config_auto import LEVELS, Level
from mini_llm.errors import BadRequest
from mini_llm.request import Request

AUTO: Final = "auto"
CHEAP: Final = "auto:cheap"
BEST: Final = "auto:best"
NAMES: Final[Mapping[str, Level | None]] = {AUTO: None, CHEAP: "cheap", BEST: "best"}
"""Names that leave the choice to us, with the quality that they ask for; None is for the configuration."""
ASKED: Final = "auto:"
"""What names begin with that leave the choice to us; others that begin so were mistyped, or are models."""
QUALITY_HEADER: Final = "x-vibes-quality"
QUALITY_FIELD: Final = "vibes_quality"
_CAMEL: Final = "vibesQuality"  # as Google's format has its fields


def with_quality(request: Request, header: str | None) -> Request:
    """The request with what its header ``x-vibes-quality`` says, unless the body says it too."""
    if header is None or _said(request) is not None:
        return request
    return request._replace(fields={**request.fields, QUALITY_FIELD: header})


def quality_asked(request: Request) -> Level | float | None:
    """The quality that a call to one of ``NAMES`` asks for: a level, or a share of the best candidate's
    predicted quality; None if it leaves that open too.

    Raises:
        BadRequest: it asks for something else.
    """
    said = _said(request)
    if said is None:
        return NAMES[request.model]
    for level in LEVELS:
        if said == level:
            return level
    if isinstance(said, str | int | float) and not isinstance(said, bool):
        with suppress(InvalidQuality):
            return share_of(said)
    raise BadRequest(
        f"the quality ('{QUALITY_FIELD}', or the header {QUALITY_HEADER}) must be {', '.join(LEVELS)}"
        " or a number from 0 to 1",
        QUALITY_FIELD,
    )


def without_quality(request: Request) -> Request:
    """The request as a provider may see it, which knows no such field."""
    fields = request.fields
    if QUALITY_FIELD not in fields and _CAMEL not in fields:
        return request
    kept = {key: value for key, value in fields.items() if key not in (QUALITY_FIELD, _CAMEL)}
    return request._replace(fields=kept)


def _said(request: Request) -> object:
    fields = request.fields
    return fields[QUALITY_FIELD] if fields.get(QUALITY_FIELD) is not None else fields.get(_CAMEL)

"""What of a client's call goes on to a provider."""

from __future__ import annotations

import re
from typing import Final

from mini_llm.errors import BadRequest
from mini_llm.request import Request
from mini_llm.routing.plan import Plan
from mini_llm.surfaces.base import Surface
from mini_llm.surfaces.kept import on_shared_key
from router.auth import Header

_SOUND: Final = re.compile(r"[\x20-\x7e]{1,1024}")


def passed_on(request: Request, surface: Surface, header: Header, plan: Plan) -> Request:
    """The request with the headers of its format; on the operator's key, without what would be kept there.

    Raises:
        BadRequest: a header is not printable ASCII or too long, or the request names what is kept there.
    """
    for name in surface.headers:
        if value := header(name):
            if not _SOUND.fullmatch(value):
                raise BadRequest(f"the header '{name}' must be at most 1024 printable ASCII characters", name)
            request = request._replace(headers={**(request.headers or {}), name: value})
    return request if plan.first.own_key else on_shared_key(request)

"""How an operator's request reaches the router: who it is from, and what it may touch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection

from router.api.admin_door import AdminDoor
from router.api.admin_state import AdminState
from router.errors import UnknownAdminKey
from router.ledger.audit import Act
from router.observe.record import current

LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

T = TypeVar("T")


def admitted(request: Request) -> str:
    """The operator who sent the request.

    Raises:
        UnknownAdminKey, TooManyWrongKeys: nobody.
    """
    door: AdminDoor | None = request.app.state.door
    if door is None:
        raise UnknownAdminKey
    return door.admit(request.headers.get("authorization"), address_of(request))


Operator = Annotated[str, Depends(admitted)]


def act(operator: str, action: str, subject: str) -> Act:
    """What the audit log keeps of the running request."""
    return Act(operator, action, subject, current().request_id)


def state_of(request: Request) -> AdminState:
    """The router that is operated."""
    state: AdminState = request.app.state.router
    return state


async def look(request: Request, operation: Callable[[Connection], T]) -> T:
    """Reads the ledger without holding up the event loop."""
    return await asyncio.to_thread(state_of(request).ledger.read, operation)


def address_of(request: Request) -> str:
    """Where the request came from."""
    return request.client.host if request.client else ""

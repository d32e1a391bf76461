"""Teams: who spends an account's money, in which role and within which budget."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from mini_llm.routing.catalog import Catalog
from router import managing
from router.api.errors import told
from router.api.keys import shown as key_shown
from router.api.people import address_of, look, now_s, number_of, write
from router.errors import GatewayError
from router.ledger import read
from router.people import provider_keys, teams
from router.people.budgets import periods
from router.people.models import Role
from router.people.teams import Membership
from router.web import fields
from router.web.door import Visitor, page_routes, read_form, see, visitor
from router.web.render import page

TEAMS: Final = "/wallet/team"
SHOWN: Final = 100
"""Most members, and most keys, on one page."""
_PLACE: Final = re.compile(r"[0-9]{1,4}")
ROLES: Final = {
    Role.VIEWER: "sees members and spending",
    Role.MEMBER: "makes keys, which the team's account pays for",
    Role.ADMIN: "adds and removes members, sets their budgets, revokes their keys",
    Role.OWNER: "sets the team's budget, makes owners and admins, closes the team",
}

routes = page_routes()


@routes.get(TEAMS)
async def show_teams(request: Request) -> Response:
    """The teams that the wallet is in, and a form to found one."""
    return await _teams(request, await visitor(request))


@routes.post(TEAMS)
async def found_team(request: Request) -> Response:
    """Founds a team whose calls the account pays for."""
    found = await visitor(request)
    idx = found.principal().account_idx
    name = (await read_form(request)).text("name")
    try:
        team_id = await write(
            request, lambda connection: teams.create_team(connection, idx, found.address, name, now_s())
        )
    except GatewayError as error:
        answer = told(error)
        return await _teams(request, found, name, answer.message, answer.status)
    return see(f"{TEAMS}/{team_id}")


@routes.get(TEAMS + "/{team}")
async def show_team(
    request: Request, team: str, change: str = "", first: Annotated[str, Query(alias="from")] = ""
) -> Response:
    """Members, budgets, keys and models of a team; `change` opens the form for a member."""
    start_at = int(first) if _PLACE.fullmatch(first) else 0
    return await _team(request, await visitor(request), team, change=change, first=start_at)


@routes.post(TEAMS + "/{team}")
async def change_team(request: Request, team: str) -> Response:
    """Sets the team's name and budget."""
    found = await visitor(request)
    form = await read_form(request)

    def change(connection: Connection, place: Membership) -> None:
        limit_base = fields.amount_base(form, "month_limit_base")
        teams.change_team(connection, place, {"name": form.text("name"), "month_limit_base": limit_base})

    return await _done(request, found, team, change)


@routes.post(TEAMS + "/{team}/member")
async def set_member(request: Request, team: str) -> Response:
    """Adds a wallet, or changes the role and budget of one."""
    found = await visitor(request)
    form = await read_form(request)

    def change(connection: Connection, place: Membership) -> None:
        limit_base = fields.amount_base(form, "month_limit_base")
        changes = {"role": form.text("role"), "month_limit_base": limit_base}
        teams.set_member(connection, place, address_of(form.text("address")), changes, now_s())

    return await _done(request, found, team, change)


@routes.post(TEAMS + "/{team}/remove")
async def remove_member(request: Request, team: str) -> Response:
    """Takes a wallet out of the team; one's own leaves it."""
    found = await visitor(request)
    whom = address_of((await read_form(request)).text("address"))
    leaves = whom == found.address

    def change(connection: Connection, place: Membership) -> None:
        (teams.leave_team if leaves else teams.remove_member)(connection, place, whom)

    return await _done(request, found, team, change, gone=leaves)


@routes.post(TEAMS + "/{team}/close")
async def close_team(request: Request, team: str) -> Response:
    """Closes the team for good."""
    found = await visitor(request)
    await read_form(request)

    def close(connection: Connection, place: Membership) -> None:
        teams.close_team(connection, place, now_s())

    return await _done(request, found, team, close, gone=True)


async def _done(
    request: Request,
    found: Visitor,
    team: str,
    change: Callable[[Connection, Membership], None],
    gone: bool = False,
) -> Response:
    """Changes a team and shows it; what was wrong is said above it. `gone`: it is no longer the visitor's."""
    team_id = number_of("team", team)

    def run(connection: Connection) -> None:
        change(connection, teams.membership(connection, team_id, found.address))

    try:
        await write(request, run)
    except GatewayError as error:
        answer = told(error)
        return await _team(request, found, team, answer.message, answer.status)
    return see(TEAMS if gone else f"{TEAMS}/{team_id}")


async def _teams(
    request: Request, found: Visitor, name: str = "", problem: str | None = None, status: int = 200
) -> Response:
    places = await look(request, lambda connection: teams.memberships(connection, found.address))
    return page(
        request,
        "wallet/teams.html",
        status=status,
        teams=places,
        name=name,
        problem=problem,
        roles=ROLES,
        max_name=teams.MAX_NAME,
    )


async def _team(
    request: Request,
    found: Visitor,
    team: str,
    problem: str | None = None,
    status: int = 200,
    change: str = "",
    first: int = 0,
) -> Response:
    team_id = number_of("team", team)
    shown = await look(
        request, lambda connection: _read_team(connection, found.address, team_id, change, first)
    )
    catalog: Catalog = request.app.state.catalog
    offered = await catalog.offers()
    return page(
        request,
        "wallet/team.html",
        status=status,
        problem=problem,
        roles=ROLES,
        max_name=teams.MAX_NAME,
        models=offered,
        **shown,
    )


def _read_team(connection: Connection, you: str, team_id: int, change: str, first: int) -> dict[str, Any]:
    """The team as a member sees it. What counts against budgets is known only where there is one."""
    place = teams.membership(connection, team_id, you)
    _, month = periods(now_s())

    def used_base(address: str) -> int:
        return read.budget_used_base(connection, f"member:{team_id}:{address}:month:{month}")

    people = teams.members(connection, team_id)
    keys = [key for key in managing.team_keys(connection, you, team_id) if key.revoked_s is None]
    rank = teams.RANK[place.role]
    limited = place.month_limit_base is not None or place.member_limit_base is not None
    return {
        "team": place,
        "you": you,
        "used_base": read.budget_used_base(connection, f"team:{team_id}:month:{month}"),
        "your_used_base": used_base(you),
        "members": [(one, used_base(one.address)) for one in people[first : first + SHOWN]],
        "total": len(people),
        "onward": first + SHOWN if len(people) > first + SHOWN else None,
        "chosen": next((one for one in people if one.address == change), None),
        "keys": [key_shown(connection, key) for key in keys[: -SHOWN - 1 : -1]],
        "keys_left": max(0, len(keys) - SHOWN),
        "answers": rank >= teams.RANK[Role.ADMIN],
        "owns": rank >= teams.RANK[Role.OWNER],
        "makes_keys": rank >= teams.RANK[Role.MEMBER],
        "own_providers": set() if limited else set(provider_keys.keys_of(connection, place.account_idx)),
    }

"""Teams: members, roles, budgets. Only signed-in wallets act here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from router import managing
from router.api.keys import shown as key_shown
from router.api.people import (
    Fields,
    account_of,
    address_of,
    base_of,
    caller_of,
    look,
    now_s,
    number_of,
    read_fields,
    takes,
    text_of,
    wallet_of,
    write,
)
from router.ledger.grants import Scope
from router.people import teams
from router.people.models import Role
from router.people.teams import Membership

routes = APIRouter()


class NewTeam(Fields):
    """A team's name."""

    name: str


class TeamChange(Fields):
    """A team's name and its budget for a UTC month; null takes the limit away, what is left out stays."""

    name: str = ""
    month_limit_base: str | None = None


class MemberChange(Fields):
    """A member's role, which a new one needs, and its budget for a UTC month, as in `TeamChange`."""

    role: str = ""
    month_limit_base: str | None = None


@routes.post("/v1/teams", summary="Found a team", status_code=201, openapi_extra=takes(NewTeam))
async def create_team(request: Request) -> dict[str, Any]:
    """The wallet's account pays for the team's calls; `x-vibes-account` names it if there are several."""
    caller = await caller_of(request)
    address = caller.wallet().address
    account_idx = account_of(request, caller, Scope.KEYS_WRITE)
    sent = await read_fields(request, NewTeam)
    team_id = await write(
        request,
        lambda connection: teams.create_team(connection, account_idx, address, sent.name, now_s()),
    )
    return await look(request, lambda connection: _shown(teams.membership(connection, team_id, address)))


@routes.get("/v1/teams", summary="List the wallet's teams")
async def list_teams(request: Request) -> dict[str, Any]:
    """All open teams that the wallet is a member of, or pays for."""
    address = await wallet_of(request)
    found = await look(request, lambda connection: teams.memberships(connection, address))
    return {"data": [_shown(team) for team in found]}


@routes.get("/v1/teams/{team}", summary="Show a team")
async def show_team(request: Request, team: str) -> dict[str, Any]:
    """Its members with roles and budgets."""
    address = await wallet_of(request)
    team_id = number_of("team", team)

    def read(connection: Connection) -> dict[str, Any]:
        place = teams.membership(connection, team_id, address)
        people = [
            {
                "address": member.address,
                "role": member.role,
                "month_limit_base": text_of(member.month_limit_base),
                "added_s": member.added_s,
            }
            for member in teams.members(connection, team_id)
        ]
        return _shown(place) | {"members": people}

    return await look(request, read)


@routes.put("/v1/teams/{team}", summary="Change a team", openapi_extra=takes(TeamChange))
async def change_team(request: Request, team: str) -> dict[str, Any]:
    """Owners set name and budget; what is left out stays as it is."""
    address = await wallet_of(request)
    team_id = number_of("team", team)
    sent = await read_fields(request, TeamChange)
    changes = _changes(sent)

    def change(connection: Connection) -> dict[str, Any]:
        place = teams.membership(connection, team_id, address)
        teams.change_team(connection, place, changes)
        return _shown(teams.membership(connection, team_id, address))

    return await write(request, change)


@routes.delete("/v1/teams/{team}", summary="Close a team", status_code=204)
async def close_team(request: Request, team: str) -> Response:
    """Owners close a team for good; all of its keys are revoked."""
    address = await wallet_of(request)
    team_id = number_of("team", team)
    await write(
        request,
        lambda connection: teams.close_team(
            connection, teams.membership(connection, team_id, address), now_s()
        ),
    )
    return Response(status_code=204)


@routes.put(
    "/v1/teams/{team}/members/{member}",
    summary="Add a member or change one",
    status_code=204,
    openapi_extra=takes(MemberChange),
)
async def set_member(request: Request, team: str, member: str) -> Response:
    """`member` is a wallet address. Who becomes a viewer loses its keys; what is left out stays as it is."""
    address = await wallet_of(request)
    team_id = number_of("team", team)
    sent = await read_fields(request, MemberChange)
    whom = address_of(member)
    changes = _changes(sent)
    await write(
        request,
        lambda connection: teams.set_member(
            connection, teams.membership(connection, team_id, address), whom, changes, now_s()
        ),
    )
    return Response(status_code=204)


@routes.delete("/v1/teams/{team}/members/{member}", summary="Remove a member, or leave", status_code=204)
async def remove_member(request: Request, team: str, member: str) -> Response:
    """The member's keys in the team are revoked."""
    address = await wallet_of(request)
    team_id = number_of("team", team)
    whom = address_of(member)

    def remove(connection: Connection) -> None:
        place = teams.membership(connection, team_id, address)
        if whom == address:
            teams.leave_team(connection, place, address)
        else:
            teams.remove_member(connection, place, whom)

    await write(request, remove)
    return Response(status_code=204)


@routes.get("/v1/teams/{team}/keys", summary="List a team's API keys")
async def list_team_keys(request: Request, team: str) -> dict[str, Any]:
    """A member sees its own keys, admins and owners all, and which account pays."""
    address = await wallet_of(request)
    team_id = number_of("team", team)

    def read(connection: Connection) -> dict[str, Any]:
        answers = _answers(teams.membership(connection, team_id, address))
        found = managing.team_keys(connection, address, team_id)
        return {"data": [key_shown(connection, key, answers) for key in found]}

    return await look(request, read)


def _changes(sent: TeamChange | MemberChange) -> dict[str, Any]:
    """What was sent, the budget in base units."""
    changes = sent.model_dump(exclude_unset=True)
    if "month_limit_base" in changes:
        changes["month_limit_base"] = base_of("month_limit_base", sent.month_limit_base)
    return changes


def _shown(team: Membership) -> dict[str, Any]:
    """A team as its member sees it; which account pays is for those who answer for it."""
    return {
        "team": team.team_id,
        "name": team.name,
        "role": team.role,
        "account": team.account_idx if _answers(team) else None,
        "month_limit_base": text_of(team.month_limit_base),
        "your_month_limit_base": text_of(team.member_limit_base),
    }


def _answers(team: Membership) -> bool:
    return teams.RANK[team.role] >= teams.RANK[Role.ADMIN]

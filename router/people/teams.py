"""Teams: wallets that spend one account's money, each within a role and a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, or_, select, union, update

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from router.ledger.access import TEAM
from router.ledger.keys import revoke_of_member
from router.ledger.models import ACCOUNT
from router.people.errors import BadInput, NotYours, RoleMissing, TeamRule
from router.people.models import TEAM_MEMBER, Role

RANK: Final = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2, Role.OWNER: 3}
"""A role may do what those below it may."""
MAX_NAME: Final = 100
MAX_MEMBERS: Final = 1000

_PLACES: Final = (
    select(
        TEAM,
        TEAM_MEMBER.c.role,
        TEAM_MEMBER.c.month_limit_base.label("member_limit_base"),
        (ACCOUNT.c.owner == bindparam("wallet")).label("pays"),
    )
    .join(ACCOUNT, ACCOUNT.c.idx == TEAM.c.account_idx)
    .outerjoin(
        TEAM_MEMBER,
        and_(TEAM_MEMBER.c.team_id == TEAM.c.id, TEAM_MEMBER.c.address == bindparam("wallet")),
    )
    .where(TEAM.c.closed_s.is_(None))
)
_PLACE: Final = _PLACES.where(
    TEAM.c.id == bindparam("team"),
    or_(TEAM_MEMBER.c.address.is_not(None), ACCOUNT.c.owner == bindparam("wallet")),
)
_ALL_PLACES: Final = _PLACES.where(
    TEAM.c.id.in_(
        union(
            select(TEAM_MEMBER.c.team_id).where(TEAM_MEMBER.c.address == bindparam("wallet")),
            select(TEAM.c.id)
            .join(ACCOUNT, ACCOUNT.c.idx == TEAM.c.account_idx)
            .where(ACCOUNT.c.owner == bindparam("wallet")),
        )
    )
).order_by(TEAM.c.id)


@dataclass(frozen=True)
class Membership:
    """A team as one of its members sees it; a budget of None is no limit.

    Whoever owns the account that pays is an owner, whatever is written down.

    Attributes:
        team_id: number of the team.
        account_idx: account that pays.
        name: of the team.
        role: the member's, of `Role`.
        month_limit_base: the team's budget for a UTC month, base units.
        member_limit_base: the member's own.
        pays: the account is the member's.
    """

    team_id: int
    account_idx: int
    name: str
    role: str
    month_limit_base: int | None
    member_limit_base: int | None
    pays: bool

    def require(self, role: str) -> None:
        """Raises RoleMissing unless the member has this role or one above."""
        if RANK[self.role] < RANK[role]:
            raise RoleMissing(self.role, role)


@dataclass(frozen=True)
class Member:
    """A member as the team sees it; `pays`: it owns the account that does."""

    address: str
    role: str
    month_limit_base: int | None
    added_s: int
    pays: bool


def create_team(connection: Connection, account_idx: int, address: str, name: str, now_s: int) -> int:
    """Founds a team whose calls an account pays for; its owner is the team's first. Returns its number."""
    _check_name(name)
    values = {
        "account_idx": account_idx,
        "name": name,
        "month_limit_base": None,
        "created_s": now_s,
        "closed_s": None,
    }
    team_id: int = connection.execute(insert(TEAM).returning(TEAM.c.id), values).scalar_one()
    _insert_member(connection, team_id, address, Role.OWNER, None, now_s)
    return team_id


def memberships(connection: Connection, address: str) -> list[Membership]:
    """The open teams that a wallet is in or pays for."""
    return [_membership(row) for row in connection.execute(_ALL_PLACES, {"wallet": address})]


def membership(connection: Connection, team_id: int, address: str) -> Membership:
    """A wallet's place in a team.

    Raises:
        NotYours: there is no such open team, or the wallet is not in it.
    """
    row = connection.execute(_PLACE, {"team": team_id, "wallet": address}).one_or_none()
    if row is None:
        raise NotYours("team")
    return _membership(row)


def members(connection: Connection, team_id: int) -> list[Member]:
    """Everyone in a team, by when they came; the wallet that pays is among them."""
    query = select(TEAM_MEMBER).where(TEAM_MEMBER.c.team_id == team_id)
    rows = connection.execute(query.order_by(TEAM_MEMBER.c.added_s, TEAM_MEMBER.c.address)).all()
    payer = _payer(connection, team_id)
    found = [
        Member(
            row.address,
            Role.OWNER if row.address == payer else row.role,
            row.month_limit_base,
            row.added_s,
            row.address == payer,
        )
        for row in rows
    ]
    if any(member.pays for member in found):
        return found
    founded_s: int = connection.execute(select(TEAM.c.created_s).where(TEAM.c.id == team_id)).scalar_one()
    return [Member(payer, Role.OWNER, None, founded_s, True), *found]


def change_team(connection: Connection, by: Membership, changes: Mapping[str, Any]) -> None:
    """Changes a team.

    Args:
        connection: a writing transaction.
        by: who asks.
        changes: `name` and `month_limit_base`, as far as they change; a budget of None is no limit.

    Raises:
        RoleMissing: only owners may.
        BadInput: a name or a budget out of its range.
    """
    by.require(Role.OWNER)
    if "name" in changes:
        _check_name(changes["name"])
    _check_budget(changes.get("month_limit_base"))
    if changes:
        connection.execute(update(TEAM).where(TEAM.c.id == by.team_id).values(dict(changes)))


def set_member(
    connection: Connection, by: Membership, address: str, changes: Mapping[str, Any], now_s: int
) -> None:
    """Adds a wallet to a team, or changes its role and budget. Who loses the right to have keys loses them.

    Args:
        connection: a writing transaction.
        by: who asks.
        address: the wallet.
        changes: `role` and `month_limit_base`, as far as they change; a budget of None is no limit, as a new
            member has it unless it is given one.
        now_s: unix seconds.

    Raises:
        RoleMissing: admins set members and viewers, only owners set owners and admins.
        TeamRule: the wallet that pays stays an owner; a team has at most 1000 members.
        BadInput: no such role, none for a new member, or a budget out of its range.
    """
    before = _role_of(connection, by.team_id, address)
    role = changes.get("role", before)
    if role not in RANK:
        raise BadInput("role", f"is one of {', '.join(RANK)}")
    _check_budget(changes.get("month_limit_base"))
    _require_power(by, before, role)
    if role != Role.OWNER:
        _keep_payer(connection, by.team_id, address)
    if role == Role.VIEWER:
        revoke_of_member(connection, by.team_id, address)
    changed = connection.execute(
        update(TEAM_MEMBER)
        .where(TEAM_MEMBER.c.team_id == by.team_id, TEAM_MEMBER.c.address == address)
        .values({**changes, "role": role})
    )
    if not changed.rowcount:
        if len(members(connection, by.team_id)) >= MAX_MEMBERS:
            raise TeamRule(f"a team has at most {MAX_MEMBERS} members")
        _insert_member(connection, by.team_id, address, role, changes.get("month_limit_base"), now_s)


def remove_member(connection: Connection, by: Membership, address: str) -> None:
    """Takes a wallet out of a team and revokes its keys there; everyone may leave.

    Raises:
        NotYours: it is not in the team.
        RoleMissing: as for `set_member`, except for oneself.
        TeamRule: the wallet that pays stays.
    """
    role = _role_of(connection, by.team_id, address)
    if role is None:
        raise NotYours("member")
    _require_power(by, role, Role.VIEWER)
    _drop(connection, by.team_id, address)


def leave_team(connection: Connection, by: Membership, address: str) -> None:
    """Leaves a team, with all keys.

    Raises:
        TeamRule: the wallet that pays cannot; it closes the team instead.
    """
    _drop(connection, by.team_id, address)


def close_team(connection: Connection, by: Membership, now_s: int) -> None:
    """Closes a team for good and revokes all of its keys.

    Raises:
        RoleMissing: only owners may.
    """
    by.require(Role.OWNER)
    revoke_of_member(connection, by.team_id, None)
    connection.execute(update(TEAM).where(TEAM.c.id == by.team_id).values(closed_s=now_s))


def _require_power(by: Membership, before: str | None, after: str) -> None:
    """Admins and owners matter only to owners; everyone else to admins too."""
    high = max(RANK[before] if before else 0, RANK[after])
    by.require(Role.OWNER if high >= RANK[Role.ADMIN] else Role.ADMIN)


def _drop(connection: Connection, team_id: int, address: str) -> None:
    _keep_payer(connection, team_id, address)
    revoke_of_member(connection, team_id, address)
    connection.execute(
        delete(TEAM_MEMBER).where(TEAM_MEMBER.c.team_id == team_id, TEAM_MEMBER.c.address == address)
    )


def _keep_payer(connection: Connection, team_id: int, address: str) -> None:
    """Raises TeamRule if it is the wallet whose account pays: so a team has an owner, who can close it."""
    if address == _payer(connection, team_id):
        raise TeamRule(
            "the account of this wallet pays for the team, so it stays an owner: close the team instead"
        )


def _payer(connection: Connection, team_id: int) -> str:
    query = select(ACCOUNT.c.owner).join(TEAM, TEAM.c.account_idx == ACCOUNT.c.idx)
    owner: str = connection.execute(query.where(TEAM.c.id == team_id)).scalar_one()
    return owner


def _role_of(connection: Connection, team_id: int, address: str) -> str | None:
    """The member's role, None if it is not in the team."""
    if address == _payer(connection, team_id):
        return Role.OWNER
    query = select(TEAM_MEMBER.c.role).where(
        TEAM_MEMBER.c.team_id == team_id, TEAM_MEMBER.c.address == address
    )
    return connection.execute(query).scalar_one_or_none()


def _insert_member(
    connection: Connection, team_id: int, address: str, role: str, limit_base: int | None, now_s: int
) -> None:
    row = {"team_id": team_id, "address": address, "role": role}
    connection.execute(insert(TEAM_MEMBER), row | {"month_limit_base": limit_base, "added_s": now_s})


def _membership(row: Row[Any]) -> Membership:
    role = Role.OWNER if row.pays else row.role
    budgets = (row.month_limit_base, row.member_limit_base)
    return Membership(row.id, row.account_idx, row.name, role, *budgets, pays=bool(row.pays))


def _check_name(name: str) -> None:
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise BadInput("name", f"1 to {MAX_NAME} printable characters")


def _check_budget(limit_base: int | None) -> None:
    if limit_base is not None and not 0 <= limit_base <= MAX_AMOUNT_BASE:
        raise BadInput("month_limit_base", f"{limit_base} is not in 0 … {MAX_AMOUNT_BASE}")

"""Who is in a team, as both databases tell it: the wallet that pays is an owner, whatever is written down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, delete, update
from support.books import Books, funded, new_books, owner

from router.people import teams
from router.people.errors import NotYours, TeamRule
from router.people.models import TEAM_MEMBER, Role

PAYER, OTHER, STRANGER = owner(1), owner(2), owner(3)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.ledger.run(lambda c: funded(c, 1, 10_000))
        yield books


@pytest.fixture
def team_id(books: Books) -> int:
    def found(connection: Connection) -> int:
        made = teams.create_team(connection, 1, PAYER, "first", 5)
        place = teams.membership(connection, made, PAYER)
        teams.set_member(connection, place, OTHER, {"role": Role.OWNER}, 6)
        return made

    return books.ledger.run(found)


@pytest.mark.parametrize("written", [Role.OWNER, Role.VIEWER, None])
def test_the_payer_is_an_owner(books: Books, team_id: int, written: str | None) -> None:
    of_payer = (TEAM_MEMBER.c.team_id == team_id, TEAM_MEMBER.c.address == PAYER)
    if written is None:
        books.ledger.run(lambda c: c.execute(delete(TEAM_MEMBER).where(*of_payer)))
    else:
        books.ledger.run(lambda c: c.execute(update(TEAM_MEMBER).where(*of_payer).values(role=written)))
    (place,) = books.ledger.read(lambda c: teams.memberships(c, PAYER))
    assert place == books.ledger.read(lambda c: teams.membership(c, team_id, PAYER))
    assert (place.role, place.pays, place.account_idx) == (Role.OWNER, True, 1)
    (other,) = books.ledger.read(lambda c: teams.memberships(c, OTHER))
    assert (other.role, other.pays) == (Role.OWNER, False)
    seen = books.ledger.read(lambda c: teams.members(c, team_id))
    assert [(one.address, one.role, one.pays) for one in seen] == [
        (PAYER, Role.OWNER, True),
        (OTHER, Role.OWNER, False),
    ]
    with pytest.raises(TeamRule):
        books.ledger.run(lambda c: teams.remove_member(c, other, PAYER))
    books.ledger.run(lambda c: teams.set_member(c, other, PAYER, {"month_limit_base": 7}, 9))
    assert books.ledger.read(lambda c: teams.membership(c, team_id, PAYER)).member_limit_base == 7


def test_others_are_in_no_team(books: Books, team_id: int) -> None:
    assert books.ledger.read(lambda c: teams.memberships(c, STRANGER)) == []
    with pytest.raises(NotYours):
        books.ledger.read(lambda c: teams.membership(c, team_id, STRANGER))
    payer = books.ledger.read(lambda c: teams.membership(c, team_id, PAYER))
    books.ledger.run(lambda c: teams.close_team(c, payer, 9))
    for wallet in (PAYER, OTHER):
        assert books.ledger.read(lambda c, wallet=wallet: teams.memberships(c, wallet)) == []

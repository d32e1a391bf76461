"""Teams over HTTP: who may do what, who pays, and what ends with a membership."""

from __future__ import annotations

import time

import httpx
import pytest
from people_world import Person, Town, chat
from sqlalchemy import text

ROLES = ("owner", "admin", "member", "viewer")


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def found(town: Town) -> tuple[Person, int, dict[str, Person]]:
    """A team with one wallet in each role beside its founder, and a stranger."""
    founder = town.person(deposit_base=10**10)
    team: int = founder.ask("POST", "/teams", name="night shift").json()["team"]
    people = {role: town.visitor() for role in ROLES}
    for role, person in people.items():
        set_ = founder.ask("PUT", f"/teams/{team}/members/{person.address}", role=role)
        assert set_.status_code == 204, set_.text
    return founder, team, people | {"stranger": town.person()}


def page_of(person: Person, path: str) -> str:
    """A page as the signed-in wallet sees it."""
    cookies = {"vibes_session": person.token}
    answer = httpx.get(person.url.removesuffix("/v1") + path, cookies=cookies)
    assert answer.status_code == 200, answer.text
    return answer.text


def refused_soon(person: Person, api_key: str) -> None:
    deadline = time.monotonic() + 10
    while chat(person, api_key).status_code != 401:
        assert time.monotonic() < deadline, "the key still works"
        time.sleep(0.05)


def test_a_member_spends_the_teams_money_within_both_budgets(town: Town) -> None:
    founder, team, people = found(town)
    member = people["member"]
    assert member.ask("GET", "/account").status_code == 403
    key_id, api_key = member.key(team=team, label="mine")
    assert chat(member, api_key).status_code == 200
    assert founder.user is not None
    assert founder.user.settled_view().spent_base > 0
    for path in ("/account", "/keys", "/provider-keys"):
        assert code_of(member.ask("GET", path, api_key)) == (403, "scope_missing")
    assert code_of(member.ask("POST", "/keys", team=team, scopes=["account:read"])) == (403, "escalation")
    limits = {"role": "member", "month_limit_base": "1"}
    assert founder.ask("PUT", f"/teams/{team}/members/{member.address}", **limits).status_code == 204
    deadline = time.monotonic() + 10
    while (answer := chat(member, api_key)).status_code != 402 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer.json()["error"]["limit"].startswith(f"member:{team}:")
    other = people["admin"].key(team=team)[1]
    assert chat(people["admin"], other).status_code == 200
    assert founder.ask("PUT", f"/teams/{team}", month_limit_base="1").status_code == 200
    deadline = time.monotonic() + 10
    while (answer := chat(people["admin"], other)).status_code != 402 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer.json()["error"]["limit"].startswith(f"team:{team}:")
    (listed,) = member.ask("GET", f"/teams/{team}/keys").json()["data"]
    assert listed["id"] == key_id


def test_a_member_is_told_no_balance(town: Town) -> None:
    founder, team, people = found(town)
    member = people["member"]
    assert founder.user is not None
    key_id, api_key = member.key(team=team)
    call = {"model": "plain", "messages": [{"role": "user", "content": "x"}]}
    for path in ("/quote", "/route"):
        told = member.ask("POST", path, api_key, request=call).json()
        assert told["affordable"] is True, told
        assert "available_base" not in told
        assert founder.ask("POST", path, request=call).json()["available_base"] == "10000000000"
    (listed,) = member.ask("GET", f"/teams/{team}/keys").json()["data"]
    assert (listed["id"], listed["account"]) == (key_id, None)
    assert member.ask("PATCH", f"/keys/{key_id}", label="mine").json()["account"] is None
    for answers in (people["admin"], founder):
        (listed,) = answers.ask("GET", f"/teams/{team}/keys").json()["data"]
        assert listed["account"] == founder.user.idx
    blind = founder.key(scopes=["chat"])[1]
    assert "available_base" not in founder.ask("POST", "/quote", blind, request=call).json()


def test_a_member_is_told_no_balance_when_it_is_too_small(town: Town) -> None:
    poor, member = town.person(deposit_base=1234), town.visitor()
    team = poor.ask("POST", "/teams", name="x").json()["team"]
    poor.ask("PUT", f"/teams/{team}/members/{member.address}", role="member")
    _, api_key = member.key(team=team)
    for stream in (False, True):
        for blind in (api_key, poor.key(scopes=["chat"])[1]):
            refused = chat(poor, blind, stream=stream)
            assert code_of(refused) == (402, "insufficient_funds"), refused.text
            assert int(refused.json()["error"]["needed_base"]) > 1234
            assert "available_base" not in refused.text
            assert "1234" not in refused.text
    assert chat(poor, poor.key()[1]).json()["error"]["available_base"] == "1234"
    assert chat(poor, poor.token).json()["error"]["available_base"] == "1234"


def test_removing_a_member_kills_its_keys(town: Town) -> None:
    founder, team, people = found(town)
    leaves, demoted, stays = people["member"], people["admin"], people["owner"]
    keys = {one.address: one.key(team=team)[1] for one in (leaves, demoted, stays)}
    assert founder.ask("DELETE", f"/teams/{team}/members/{leaves.address}").status_code == 204
    refused_soon(leaves, keys[leaves.address])
    assert leaves.ask("GET", f"/teams/{team}").status_code == 404
    assert founder.ask("PUT", f"/teams/{team}/members/{leaves.address}", role="member").status_code == 204
    assert leaves.ask("GET", f"/teams/{team}/keys").json()["data"][0]["revoked_s"]  # and stays dead
    assert chat(leaves, keys[leaves.address]).status_code == 401
    assert founder.ask("PUT", f"/teams/{team}/members/{demoted.address}", role="viewer").status_code == 204
    refused_soon(demoted, keys[demoted.address])
    assert chat(stays, keys[stays.address]).status_code == 200
    assert founder.ask("DELETE", f"/teams/{team}").status_code == 204
    refused_soon(stays, keys[stays.address])
    assert founder.ask("GET", f"/teams/{team}").status_code == 404


def test_only_the_member_changes_its_key_and_not_beyond_a_team_key(town: Town) -> None:
    founder, team, people = found(town)
    member = people["member"]
    key_id, _ = member.key(team=team, parallel=1)
    assert member.ask("PATCH", f"/keys/{key_id}", parallel=2).json()["parallel"] == 2
    widened = member.ask("PATCH", f"/keys/{key_id}", scopes=["chat", "account:read"])
    assert code_of(widened) == (403, "escalation")
    for person in (founder, people["admin"], people["viewer"]):
        assert person.ask("PATCH", f"/keys/{key_id}", parallel=3).status_code == 404


def test_the_one_who_pays_stays_an_owner(town: Town) -> None:
    founder, team, people = found(town)
    second = people["owner"]
    seat = f"/teams/{team}/members/{founder.address}"
    for method, body in (("DELETE", {}), *(("PUT", {"role": role}) for role in ("viewer", "admin"))):
        for person in (second, founder):
            refused = person.ask(method, seat, **body)
            assert code_of(refused) == (409, "team_rule"), (method, body)
            assert "the account of this wallet pays" in refused.json()["error"]["message"]
        assert code_of(people["admin"].ask(method, seat, **body)) == (403, "role_missing")
    assert second.ask("PUT", seat, role="owner", month_limit_base="7").status_code == 204
    assert founder.ask("GET", f"/teams/{team}").json()["your_month_limit_base"] == "7"
    key_id, api_key = second.key(team=team)
    assert founder.ask("GET", f"/teams/{team}").json()["role"] == "owner"
    assert founder.ask("POST", f"/keys/{key_id}/rotate", grace_s=0).status_code == 404  # it would show it
    assert founder.ask("DELETE", f"/keys/{key_id}").status_code == 204
    refused_soon(second, api_key)
    assert second.ask("DELETE", f"/teams/{team}/members/{second.address}").status_code == 204


@pytest.mark.parametrize("written", ["viewer", None])
def test_the_one_who_pays_finds_a_team_that_another_took_from_it(town: Town, written: str | None) -> None:
    """A ledger of an earlier release may hold it."""
    founder, team, people = found(town)
    statement = f"UPDATE team_member SET role = '{written}'" if written else "DELETE FROM team_member"
    seat_of = text(f"{statement} WHERE team_id = :team AND address = :address")
    town.world.ledger.run(lambda c: c.execute(seat_of, {"team": team, "address": founder.address}))
    assert founder.user is not None
    (listed,) = founder.ask("GET", "/teams").json()["data"]
    assert (listed["team"], listed["role"], listed["account"]) == (team, "owner", founder.user.idx)
    assert "night shift" in page_of(founder, "/wallet/team")
    seen = people["viewer"].ask("GET", f"/teams/{team}").json()["members"]
    assert [one["role"] for one in seen if one["address"] == founder.address] == ["owner"]
    seat = f"/teams/{team}/members/{founder.address}"
    assert code_of(people["owner"].ask("DELETE", seat)) == (409, "team_rule")
    assert "it stays an owner" in page_of(founder, f"/wallet/team/{team}?change={founder.address}")
    assert founder.ask("PUT", seat, month_limit_base="7").status_code == 204
    assert founder.ask("GET", f"/teams/{team}").json()["your_month_limit_base"] == "7"
    assert people["owner"].ask("GET", "/teams").json()["data"][0]["role"] == "owner"
    assert people["stranger"].ask("GET", "/teams").json()["data"] == []
    assert founder.ask("DELETE", f"/teams/{team}").status_code == 204
    assert founder.ask("GET", "/teams").json()["data"] == []


def test_what_is_not_sent_stays(town: Town) -> None:
    founder, team, people = found(town)
    member, at = people["member"].address, f"/teams/{team}"

    def put(path: str, **body: str | None) -> httpx.Response:
        with founder.http() as client:
            return client.put(path, json=body)

    def kept() -> tuple[str, str | None, str, str | None]:
        told = founder.ask("GET", at).json()
        (one,) = [one for one in told["members"] if one["address"] == member]
        return told["name"], told["month_limit_base"], one["role"], one["month_limit_base"]

    assert put(at, month_limit_base="0").status_code == 200
    assert put(f"{at}/members/{member}", month_limit_base="5").status_code == 204
    assert put(at, name="renamed").json()["month_limit_base"] == "0"
    assert put(f"{at}/members/{member}", role="admin").status_code == 204
    assert kept() == ("renamed", "0", "admin", "5")
    assert put(at).status_code == 200
    assert put(f"{at}/members/{member}").status_code == 204
    assert kept() == ("renamed", "0", "admin", "5")
    assert put(at, month_limit_base=None).json()["month_limit_base"] is None
    assert put(f"{at}/members/{member}", month_limit_base=None).status_code == 204
    assert kept() == ("renamed", None, "admin", None)
    newcomer = town.visitor().address
    assert code_of(put(f"{at}/members/{newcomer}", month_limit_base="5")) == (400, "invalid_field")
    assert code_of(put(at, name=None)) == (400, "invalid_field")


def test_roles_allow_what_they_say_and_no_more(town: Town) -> None:
    """Every action by everyone: 2xx exactly for the roles that may."""
    founder, team, people = found(town)
    rights = {
        "see": {"owner", "admin", "member", "viewer"},
        "make a key": {"owner", "admin", "member"},
        "revoke another's key": {"owner", "admin"},
        "add a member": {"owner", "admin"},
        "add an admin": {"owner"},
        "demote an admin": {"owner"},
        "set the budget": {"owner"},
    }

    def act(action: str, person: Person) -> httpx.Response:
        at = f"/teams/{team}"
        if action == "see":
            return person.ask("GET", at)
        if action == "make a key":
            return person.ask("POST", "/keys", team=team)
        if action == "revoke another's key":
            return person.ask("DELETE", f"/keys/{founder.key(team=team)[0]}")
        if action == "set the budget":
            return person.ask("PUT", at, month_limit_base=None, name="night shift")
        whom = town.visitor()
        if action == "demote an admin":
            founder.ask("PUT", f"{at}/members/{whom.address}", role="admin")
        role = {"add a member": "member", "add an admin": "admin", "demote an admin": "viewer"}[action]
        return person.ask("PUT", f"{at}/members/{whom.address}", role=role)

    for action, allowed in rights.items():
        for role, person in people.items():
            answer = act(action, person)
            if role in allowed:
                assert answer.is_success, (action, role, answer.text)
            else:
                assert answer.status_code in (403, 404), (action, role, answer.text)
    for role in ("member", "viewer", "admin"):  # whoever may not, changes nothing by trying on itself
        person = people[role]
        answer = person.ask("PUT", f"/teams/{team}/members/{person.address}", role="owner")
        assert code_of(answer) == (403, "role_missing")
    seen = people["viewer"].ask("GET", f"/teams/{team}").json()
    assert seen["account"] is None
    assert {member["role"] for member in seen["members"]} == set(ROLES)
    assert people["viewer"].ask("DELETE", f"/teams/{team}").status_code == 403
    assert people["owner"].ask("DELETE", f"/teams/{team}").status_code == 204


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/teams/{team}/members/0x12", {"role": "member"}, 400),
        ("/teams/{team}/members/0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92267", {"role": "member"}, 400),
        ("/teams/{team}/members/{other}", {"role": "king"}, 400),
        ("/teams/{team}/members/{other}", {"role": "member", "month_limit_base": "x"}, 400),
        ("/teams/9999999/members/{other}", {"role": "member"}, 404),
        ("/teams/x/members/{other}", {"role": "member"}, 404),
        ("/teams/{team}", {"name": ""}, 400),
    ],
)
def test_nonsense_is_refused(town: Town, path: str, body: dict[str, str], status: int) -> None:
    founder = town.person()
    team = founder.ask("POST", "/teams", name="x").json()["team"]
    answer = founder.ask("PUT", path.format(team=team, other=town.visitor().address), **body)
    assert answer.status_code == status, answer.text

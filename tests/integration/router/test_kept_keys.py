"""Keys that the router keeps: users' own provider keys end to end, and session keys that it signs with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from people_world import PUBLIC_URL, Person, Town, chat, make_town
from router_upstream import Upstream
from router_world import CEILING_DOMAIN, config
from sqlalchemy import text

from mini_llm.wallet.ceiling import verify_ceiling
from router.ledger import chain, read
from router.people.custody import STEP_BASE
from router.people.vault import new_key_line
from router.receipts import RECEIPT_HEADER

OWN_KEY = "sk-own-key-of-a-user-0123456789wxyz"
PROVIDER_KEYS = "/provider-keys/up"


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def call(town: Town, person: Person, marker: str, **more: Any) -> httpx.Response:
    body = {"model": "plain", "messages": [{"role": "user", "content": marker}], **more}
    return person.ask("POST", "/chat/completions", **body)


def sent_key(town: Town) -> str:
    """The bearer token of the upstream's last request."""
    return town.world.upstream.headers[-1]["authorization"]


def rows(town: Town, table: str) -> str:
    query = text(f"SELECT * FROM {table}")
    return str(town.world.ledger.read(lambda c: c.execute(query).all()))


def test_an_own_key_is_used_costs_nothing_and_is_never_seen_again(town: Town) -> None:
    person = town.person()
    assert person.user is not None
    assert person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY).status_code == 204
    listed = person.ask("GET", "/provider-keys")
    assert OWN_KEY not in listed.text
    assert listed.json()["data"][0]["last4"] == "wxyz"
    assert OWN_KEY not in rows(town, "provider_key")
    for stream in (False, True):
        answer = call(town, person, "with my own key", stream=stream)
        assert answer.status_code == 200
        assert sent_key(town) == f"Bearer {OWN_KEY}"
    view = person.user.settled_view()
    assert (view.spent_base, view.sequence) == (0, 0)
    stranger = town.person()
    assert int(call(town, stranger, "x").headers["x-vibes-charge-base"]) > 0
    assert sent_key(town) == "Bearer sk-operator-secret"
    other = "sk-another-key-of-the-user-abcd"
    person.ask("PUT", PROVIDER_KEYS, api_key=other)
    assert call(town, person, "x").status_code == 200
    assert sent_key(town) == f"Bearer {other}"
    assert person.ask("DELETE", PROVIDER_KEYS).status_code == 204
    assert int(call(town, person, "x").headers["x-vibes-charge-base"]) > 0
    assert person.ask("DELETE", PROVIDER_KEYS).status_code == 404
    log = town.world.router.log.read_text()
    assert OWN_KEY not in log
    assert other not in log


def test_blanks_around_an_own_key_are_none_of_it(town: Town) -> None:
    person = town.person()
    for blank in ("", " ", "\r\n\t "):
        assert code_of(person.ask("PUT", PROVIDER_KEYS, api_key=blank)) == (400, "invalid_field")
    assert person.ask("GET", "/provider-keys").json()["data"] == []
    assert person.ask("PUT", PROVIDER_KEYS, api_key=f" {OWN_KEY}\n").status_code == 204
    assert person.ask("GET", "/provider-keys").json()["data"][0]["last4"] == "wxyz"
    assert call(town, person, "x").status_code == 200
    assert sent_key(town) == f"Bearer {OWN_KEY}"


def test_what_is_kept_under_an_own_key_is_its_owners(town: Town) -> None:
    person, stranger = town.person(), town.person()
    body = {"model": "plain", "input": "x", "previous_response_id": "resp_1", "store": True}
    assert person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY).status_code == 204
    assert person.ask("POST", "/responses", **body).status_code == 200
    assert town.world.upstream.responded[-1].items() >= body.items()
    assert person.ask("POST", "/responses", model="plain", input="x").status_code == 200
    assert "store" not in town.world.upstream.responded[-1]
    refused = stranger.ask("POST", "/responses", **body)
    assert code_of(refused) == (400, "invalid_request")
    assert refused.json()["error"]["param"] == "previous_response_id"


def test_a_spending_limit_is_held_by_no_own_key(town: Town) -> None:
    owner, member = town.person(), town.visitor()
    assert owner.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY).status_code == 204
    limits = ("day_limit_base", "month_limit_base", "auto_day_base", "auto_month_base")
    for limit in limits:
        answer = chat(owner, owner.key(**{limit: str(10**9)})[1])
        assert int(answer.headers["x-vibes-charge-base"]) > 0, limit
        assert sent_key(town) == "Bearer sk-operator-secret", limit
    assert code_of(chat(owner, owner.key(day_limit_base="0")[1])) == (402, "spending_limit")
    key_id, api_key = owner.key(requests_per_minute=100)  # that limits no money
    assert chat(owner, api_key).status_code == 200
    assert sent_key(town) == f"Bearer {OWN_KEY}"
    assert owner.ask("PATCH", f"/keys/{key_id}", day_limit_base="0").status_code == 200
    assert code_of(chat(owner, api_key)) == (402, "spending_limit")

    place = f"/teams/{owner.ask('POST', '/teams', name='x').json()['team']}"
    seat = f"{place}/members/{member.address}"
    assert owner.ask("PUT", seat, role="member").status_code == 204
    team = int(place.rpartition("/")[2])
    _, free = member.key(team=team)
    assert chat(member, free).status_code == 200  # neither team, member nor key has a limit
    assert sent_key(town) == f"Bearer {OWN_KEY}"
    assert code_of(chat(member, member.key(team=team, month_limit_base="0")[1])) == (402, "spending_limit")
    assert owner.ask("PUT", seat, role="member", month_limit_base="0").status_code == 204
    assert code_of(chat(member, free)) == (402, "spending_limit")
    with owner.http() as client:
        client.put(seat, json={"role": "member", "month_limit_base": None})
    assert owner.ask("PUT", place, month_limit_base="0").status_code == 200
    assert code_of(chat(member, free)) == (402, "spending_limit")


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_own_key_is_told_to_its_owner_and_replaced_by_no_paid_call(
    town: Town, stream: bool
) -> None:
    person, others = town.person(), town.person()
    person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY)
    for _ in range(2):  # the deployment is not left alone because of one user's key
        answer = call(town, person, "x", model="http-401", stream=stream)
        assert code_of(answer) == (403, "provider_key_refused")
        assert "'up' refused your own key with status 401" in answer.json()["error"]["message"]
        assert "sk-" not in answer.text
        assert sent_key(town) == f"Bearer {OWN_KEY}"
    assert person.user is not None
    assert person.user.settled_view().spent_base == 0
    assert f"up/http-401@{person.user.idx} is left alone" not in town.world.router.log.read_text()
    assert code_of(call(town, person, "x", model="http-500")) == (502, "upstream_failed")
    assert code_of(call(town, others, "x", model="http-401")) == (502, "upstream_failed")


def test_a_hosted_router_refuses_endpoints_of_its_own_network(town: Town) -> None:
    person = town.person()
    for url in ("http://127.0.0.1:9/v1", "https://127.0.0.1/v1", "https://169.254.169.254/", "file:///x"):
        answer = person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY, base_url=url)
        assert code_of(answer) == (400, "endpoint_refused"), url
        assert OWN_KEY not in answer.text
    port = town.world.upstream.url.split(":")[2].removesuffix("/v1")
    seen = len(town.world.upstream.headers)
    stored = person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY, base_url=f"https://localhost:{port}/v1")
    assert stored.status_code == 204  # a name is judged when it is resolved
    assert call(town, person, "x").status_code == 502
    assert len(town.world.upstream.headers) == seen
    unknown = person.ask("PUT", "/provider-keys/nobody", api_key=OWN_KEY)
    assert unknown.status_code == 404
    assert code_of(person.ask("PUT", PROVIDER_KEYS, api_key="ключ"))[0] == 400


def test_a_local_router_and_a_fee(new_world: Any, tmp_path: Path) -> None:
    town = make_town(new_world, tmp_path, VIBES_PRIVATE_ENDPOINTS="yes")
    file = Path(town.world.router.environ["VIBES_CONFIG"])
    upstream_url = town.world.upstream.url
    policy = {"policy": {"byok_fee_bps": 500}}
    file.write_text(json.dumps(config(upstream_url, upstream_url) | policy))
    town.world.router.stop()
    town.world.router.start()
    person, full = town.person(), town.person()
    answer = person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY, base_url=upstream_url)
    assert answer.status_code == 204, answer.text
    fee_base = int(call(town, person, "the same").headers["x-vibes-charge-base"])
    price_base = int(call(town, full, "the same").headers["x-vibes-charge-base"])
    assert fee_base * 20 == price_base
    partner = town.world.ledger.read(
        lambda c: c.execute(text("SELECT partner_id FROM call ORDER BY entry_number")).scalars().all()
    )
    assert partner[0] == 0


def test_answers_for_replays_are_sealed_and_erased_when_their_time_is_up(
    new_world: Any, tmp_path: Path
) -> None:
    town = make_town(new_world, tmp_path, VIBES_ANSWERS_S="3600")
    person, router = town.person(), town.world.router
    bodies = [
        {"model": "plain", "stream": stream, "messages": [{"role": "user", "content": "x"}]}
        for stream in (False, True)
    ]

    def asked() -> list[httpx.Response]:
        with person.http() as client:
            return [
                client.post("/chat/completions", json=one, headers={"idempotency-key": str(one["stream"])})
                for one in bodies
            ]

    first = asked()
    stored = rows(town, "answer")
    assert "vnd.vibes.sealed-answer" in stored
    assert "application/json" not in stored
    router.stop()
    router.start()
    again = asked()
    assert [one.content for one in again] == [one.content for one in first]
    assert [one.headers["content-type"] for one in again] == [one.headers["content-type"] for one in first]
    router.stop()
    router.environ["VIBES_ANSWERS_S"] = "1"
    time.sleep(2)
    router.start()
    assert [code_of(one) for one in asked()] == [(410, "answer_gone")] * 2
    assert rows(town, "answer") == "[]"


def test_what_may_not_be_sold_serves_callers_with_a_key_of_their_own(
    new_world: Any, tmp_path: Path, upstream: Upstream
) -> None:
    terms = "https://provider.example/terms"
    more = config(upstream.url, upstream.url)
    first, *_ = more["deployments"]
    licensed = first | {"resale": False, "terms_url": terms}
    more["deployments"] += [
        licensed | {"model": "licensed"},
        licensed | {"model": "either"},
        first | {"model": "either", "provider": "chatty"},
    ]
    town = make_town(new_world, tmp_path, more=more)
    person = town.person()
    told = person.ask("GET", "/models/licensed").json()["vibes"]
    assert (told["resale"], told["terms_url"]) == (False, terms)
    refused = call(town, person, "x", model="licensed")
    assert code_of(refused) == (400, "no_suitable_deployment")
    assert "a provider key of your own" in refused.json()["error"]["message"]
    quoted = {"request": {"model": "licensed", "messages": [{"role": "user", "content": "x"}]}}
    assert code_of(person.ask("POST", "/quote", **quoted)) == (400, "no_suitable_deployment")
    for _ in range(8):
        assert call(town, person, "x", model="either").headers["x-vibes-deployment"] == "chatty/either"
    assert person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY).status_code == 204
    for model in ("licensed", "either"):
        served = call(town, person, "x", model=model)
        assert served.status_code == 200, served.text
        assert sent_key(town) == f"Bearer {OWN_KEY}"


def test_own_keys_follow_a_reload(new_world: Any, tmp_path: Path, upstream: Upstream) -> None:
    town = make_town(new_world, tmp_path)
    person = town.person()
    assert person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY).status_code == 204
    assert person.ask("PUT", "/provider-keys/later", api_key=OWN_KEY).status_code == 404
    file = Path(town.world.router.environ["VIBES_CONFIG"])
    changed = config("http://127.0.0.1:9/v1", upstream.url)
    changed["providers"]["later"] = {"base_url": upstream.url}
    changed["deployments"].append(changed["deployments"][0] | {"model": "late", "provider": "later"})
    file.write_text(json.dumps(changed))
    deadline = time.monotonic() + 15
    while call(town, person, "x").status_code != 502 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert code_of(call(town, person, "x")) == (502, "upstream_unreachable")  # where the provider is now
    assert person.ask("PUT", "/provider-keys/later", api_key=OWN_KEY).status_code == 204
    late = call(town, person, "x", model="late")
    assert late.status_code == 200, late.text
    assert sent_key(town) == f"Bearer {OWN_KEY}"
    assert RECEIPT_HEADER not in late.headers


def test_the_master_key_is_rotated_while_keys_are_in_use(new_world: Any, tmp_path: Path) -> None:
    town = make_town(new_world, tmp_path)
    person = town.person()
    person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY)
    commit = person.ask("POST", "/session-keys").json()["key_commit"]
    old = town.master_file.read_text()
    sealed = town.world.ledger.read(lambda c: c.execute(text("SELECT sealed FROM provider_key")).scalar_one())
    town.master_file.write_text(new_key_line("second") + "\n" + old)
    command = [sys.executable, "-m", "router.cli", "vault", "rewrap"]
    done = subprocess.run(command, env=town.world.router.environ, capture_output=True, text=True, check=True)
    assert "2 keys are now under second" in done.stdout
    after = town.world.ledger.read(
        lambda c: c.execute(text("SELECT sealed, master_id FROM provider_key")).one()
    )
    assert (after.sealed, after.master_id) == (sealed, "second")
    town.master_file.write_text(town.master_file.read_text().splitlines()[0] + "\n")
    town.world.router.stop()
    town.world.router.start()
    assert call(town, person, "x").status_code == 200
    assert sent_key(town) == f"Bearer {OWN_KEY}"
    assert person.ask("GET", "/session-keys").json()["data"][0]["key_commit"] == commit
    town.master_file.write_text(old)
    again = subprocess.run(
        command, env=town.world.router.environ, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "'second'" in again.stderr


def test_without_a_master_key_nothing_is_kept(new_world: Any) -> None:
    town = Town(new_world(VIBES_PUBLIC_URL=PUBLIC_URL), Path())
    person = town.person()
    assert code_of(person.ask("PUT", PROVIDER_KEYS, api_key=OWN_KEY)) == (404, "sealing_off")
    assert code_of(person.ask("POST", "/session-keys")) == (404, "sealing_off")


# -- session keys that the router holds


def custodial(town: Town, limit_base: int | None = None, deposit_base: int = 10 * STEP_BASE) -> Person:
    """A wallet that deposited with a key that the router holds; it signed no ceiling itself."""
    person = town.visitor()
    body = {} if limit_base is None else {"limit_base": str(limit_base)}
    commit = int(person.ask("POST", "/session-keys", **body).json()["key_commit"])
    told = person.ask("GET", "/signin/deposit").json()
    assert told["held_key_commits"] == [str(commit)]
    idx = next(town.world.numbers)

    def deposit(connection: Any) -> None:
        chain.open_account(connection, idx, person.address)
        chain.credit_deposit(connection, idx, deposit_base, f"deposit:{idx}")
        chain.request_key(connection, idx, commit, f"key:{idx}")

    town.world.ledger.run(deposit)
    person.sign_in()
    person.idx = idx
    return person


def account(town: Town, person: Person) -> Any:
    return town.world.ledger.read(lambda c: read.account_view(c, person.idx))


def quoted(person: Person) -> Any:
    request = {"model": "plain", "messages": [{"role": "user", "content": "pay"}]}
    return person.ask("POST", "/quote", request=request).json()


def test_the_router_signs_ceilings_in_small_steps(town: Town) -> None:
    person = custodial(town)
    quote = quoted(person)
    assert (quote["available_base"], quote["affordable"]) == ("0", True)
    assert account(town, person).ceiling_base == 0
    ceilings = set()
    for _ in range(6):
        assert call(town, person, "pay").status_code == 200
        view = account(town, person)
        ceilings.add(view.ceiling_base)
        signed = town.world.ledger.read(lambda c, idx=view.idx: read.ceiling(c, idx))
        assert signed is not None
        assert verify_ceiling(CEILING_DOMAIN, signed)
        assert view.ceiling_base - view.spent_base <= 2 * STEP_BASE  # a step and the quote of the last call
    assert 0 < len(ceilings) < 6  # not one signature for each call


def test_the_router_never_signs_above_the_owners_limit_or_the_balance(town: Town) -> None:
    limited = custodial(town, limit_base=1)
    assert code_of(call(town, limited, "x")) == (402, "insufficient_funds")
    quote = quoted(limited)
    assert (quote["affordable"], quote["refusal"]) == (False, "insufficient_funds")
    assert account(town, limited).ceiling_base == 0
    (key,) = limited.ask("GET", "/session-keys").json()["data"]
    path = f"/session-keys/{key['key_commit']}"
    assert town.visitor().ask("PUT", path, limit_base="5").status_code == 404
    assert limited.ask("PUT", path, limit_base=str(10**10)).status_code == 200
    assert call(town, limited, "x").status_code == 200
    poor = custodial(town, deposit_base=1000)
    assert code_of(call(town, poor, "x")) == (402, "insufficient_funds")
    assert account(town, poor).ceiling_base == 0


def test_a_key_of_another_wallet_is_not_signed_with(town: Town) -> None:
    victim = custodial(town)
    commit = account(town, victim).usable_key_commit
    thief = town.visitor()
    idx = next(town.world.numbers)

    def deposit(connection: Any) -> None:
        chain.open_account(connection, idx, thief.address)
        chain.credit_deposit(connection, idx, 10**9, f"deposit:{idx}")
        chain.request_key(connection, idx, commit, f"key:{idx}")

    town.world.ledger.run(deposit)
    thief.sign_in()
    assert code_of(call(town, thief, "x")) == (402, "insufficient_funds")


def test_many_calls_at_once_need_few_signatures(town: Town) -> None:
    person = custodial(town)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: chat(person, person.token), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    view = account(town, person)
    assert view.reserved_base == 0
    assert view.ceiling_base <= view.spent_base + view.balance_base


@pytest.mark.parametrize("commit", ["x", "-1", "9" * 78, "1" * 77, "5"])
def test_limits_of_keys_that_are_not_there(town: Town, commit: str) -> None:
    assert town.visitor().ask("PUT", f"/session-keys/{commit}", limit_base="5").status_code == 404

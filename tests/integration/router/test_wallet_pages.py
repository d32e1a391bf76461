"""The wallet's pages over HTTP, without scripts: what they say, and what their forms do."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from page_world import Browser, made_key, number_of_form, text_of
from people_world import Person, Town, chat, make_town
from router_world import DOMAIN, SIGNER

from mini_llm.wallet.receipt import SignedReceipt, recover_signer
from router.ledger import keys
from router.ledger.grants import Grant

SECRET = "a secret that stands in the prompt"


@pytest.fixture(scope="module")
def place(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    return make_town(new_world, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def browser(place: Town) -> Iterator[Browser]:
    """Of somebody with money."""
    person = Person(place.url)
    person.user = place.world.user(owner=person.address)
    opened = Browser(person)
    yield opened
    opened.http.close()


def test_a_wallet_without_an_account_is_told_what_to_do(place: Town) -> None:
    newcomer = Browser(Person(place.url))
    for path in ("/wallet", "/wallet/usage", "/wallet/requests", "/wallet/keys", "/wallet/rewards"):
        page = newcomer.get(path)
        assert "Three steps to a first call" in page
        assert 'href="/wallet/money"' in page
    assert "deposit first" in newcomer.get("/wallet/team")


def test_the_overview_says_where_the_money_is_and_what_comes_next(browser: Browser) -> None:
    first = text_of(browser.get("/wallet"))
    assert "What to do next" in first
    assert "Pending deposits 1,000.00 VIBES" in first
    _, secret = made_key(browser, label="laptop", day_limit_base="500")
    charged = int(chat(browser.person, secret).headers["x-vibes-charge-base"])
    shown = f"{charged / 10**6:.6f}".rstrip("0")
    text = text_of(browser.get("/wallet"))
    assert "What to do next" not in text
    assert f"Spent today {shown} VIBES" in text
    assert f"Charges not settled {shown} VIBES" in text
    assert f"laptop: {shown} of 500.00 VIBES" in text
    assert "waiting for a batch" in text


def test_usage_adds_up_to_what_was_charged(browser: Browser) -> None:
    person = browser.person
    charged = [
        int(chat(person, person.token, model).headers["x-vibes-charge-base"])
        for model in ("plain", "plain", "tools")
    ]
    page = text_of(browser.get("/wallet/usage?days=7&by=requests"))
    assert "Usage of the last 7 days" in page
    assert "Requests 3" in page
    for days in ("7", "30", "90", "nonsense"):
        period = {"days": days}
        rows = browser.http.get("/wallet/usage.json", params=period).json()["data"]
        assert sum(int(row["charge_base"]) for row in rows) == sum(charged)
        table = list(
            csv.DictReader(io.StringIO(browser.http.get("/wallet/usage.csv", params={"days": days}).text))
        )
        assert [{name: str(value) for name, value in row.items()} for row in rows] == table
    assert {(row["model"], row["requests"], row["paid_by"]) for row in rows} == {
        ("plain", 2, "account"),
        ("tools", 1, "account"),
    }
    assert "wholesale" not in str(rows)
    assert person.user is not None
    assert person.user.view().spent_base == sum(charged)


def test_requests_lead_to_their_receipts_and_prompts_are_nowhere(browser: Browser) -> None:
    key_id, secret = made_key(browser, label="other")
    body = {"messages": [{"role": "user", "content": SECRET}]}
    mine = chat(browser.person, browser.person.token, "tools").headers["x-vibes-request-id"]
    keyed = chat(browser.person, secret, **body).headers["x-vibes-request-id"]
    everything = browser.get("/wallet/requests")
    assert everything.index(keyed) < everything.index(mine)  # the newest first
    for query, shown, hidden in (
        (f"?key={key_id}", keyed, mine),
        ("?model=tools", mine, keyed),
    ):
        listed = browser.get("/wallet/requests" + query)
        assert shown in listed
        assert hidden not in listed
    assert "No request matches" in browser.get("/wallet/requests?day=2020-01-01")
    assert keyed in browser.get("/wallet/requests?day=nonsense&after=nonsense")
    page = browser.get(f"/wallet/requests/{keyed}")
    assert "The signature is this router's" in text_of(page)
    assert SIGNER in page
    assert "pithy-labs" in page
    signed_receipt = SignedReceipt.from_text(browser.http.get(f"/wallet/requests/{keyed}.json").text)
    assert recover_signer(signed_receipt, DOMAIN) == SIGNER
    assert signed_receipt.receipt.request_id.hex() == keyed
    for path in ("/wallet", "/wallet/requests", f"/wallet/requests/{keyed}"):
        assert SECRET not in browser.get(path)
    assert "nothing at this address" not in browser.get("/wallet/requests/" + "0" * 64, 404)


def test_a_key_is_shown_once_and_a_reload_makes_no_second(browser: Browser) -> None:
    page = browser.get("/wallet/keys")
    fields = {"form": number_of_form(page), "label": "laptop", "scope": ["chat"], "models": "plain\nchat-*"}
    first = browser.form("/wallet/keys", **fields)
    assert first.status_code == 201
    secret = re.search(r"sk-vibes-[\w-]{20,}", first.text)
    assert secret is not None
    again = browser.form("/wallet/keys", **fields)
    assert again.status_code == 409
    assert "was done then, once" in text_of(again.text)
    listed = browser.get("/wallet/keys")
    assert secret[0] not in again.text + listed
    assert listed.count('class="panel" aria-labelledby="key-') == 2  # it, and the account's first
    assert chat(browser.person, secret[0]).status_code == 200
    assert chat(browser.person, secret[0], "tools").status_code == 403  # not of its models
    assert browser.person.user is not None
    assert browser.person.user.ledger.read(lambda c: len(keys.api_keys(c, browser.person.user.idx))) == 2


def test_a_key_has_a_budget_for_calls_to_auto(browser: Browser) -> None:
    fields = {"form": number_of_form(browser.get("/wallet/keys")), "label": "thrifty", "scope": "chat"}
    assert (
        browser.form("/wallet/keys", **fields, auto_day_base="2.5", auto_month_base="40").status_code == 201
    )
    listed = text_of(browser.get("/wallet/keys"))
    assert "auto, today: 0.00 of 2.50 VIBES" in listed
    assert "auto, this month: 0.00 of 40.00 VIBES" in listed
    assert "Today:" not in listed  # no spending limit was asked for


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        pytest.param("day_limit_base", "a lot", "“Most in one day” is an amount of VIBES", id="amount"),
        pytest.param("parallel", "0", "“At one time”: 0 is not in", id="rate"),
        pytest.param("until", "2026-02-30", "“The last day” is a day such as", id="day"),
        pytest.param("models", "a*b", "names, each exact or ending in one *", id="models"),
        pytest.param("scope", "everything", "is none of", id="scope"),
        pytest.param("form", "", "has no number", id="form-number"),
    ],
)
def test_what_is_wrong_with_a_form_is_said_and_what_was_typed_stays(
    browser: Browser, field: str, value: str, said: str
) -> None:
    fields = {"form": number_of_form(browser.get("/wallet/keys")), "label": "<b>mine</b>", "scope": "chat"}
    answer = browser.form("/wallet/keys", **(fields | {field: value}))
    assert answer.status_code == 400
    assert said in text_of(answer.text)
    assert 'value="&lt;b&gt;mine&lt;/b&gt;"' in answer.text
    if field != "form":
        assert f'id="field-{field}" aria-invalid="true" aria-describedby="fault ' in answer.text
        assert answer.text.count('id="fault"') == 1
        assert "_base" not in text_of(answer.text)


def test_a_key_is_renewed_once_and_revoked(browser: Browser) -> None:
    key_id, secret = made_key(browser, label="laptop")
    fields = {"form": number_of_form(browser.get("/wallet/keys")), "grace_s": "0"}
    renewed = browser.form(f"/wallet/keys/{key_id}/renew", **fields)
    assert renewed.status_code == 201
    new_secret = re.search(r"sk-vibes-[\w-]{20,}", renewed.text)
    assert new_secret is not None
    assert browser.form(f"/wallet/keys/{key_id}/renew", **fields).status_code == 409
    assert chat(browser.person, new_secret[0]).status_code == 200
    assert chat(browser.person, secret).status_code == 401
    assert "Keys revoked last" in browser.sent(f"/wallet/keys/{key_id}/revoke")
    assert chat(browser.person, new_secret[0]).status_code == 401


def test_a_key_that_outlives_calendars_is_shown(place: Town, browser: Browser) -> None:
    """A ledger of an earlier release may hold one."""
    user = browser.person.user
    assert user is not None
    far = Grant(expires_s=300_000_000_000)
    place.world.ledger.run(lambda c: keys.create_api_key(c, user.idx, "far", grant=far))
    assert "works until after the year 9999" in text_of(browser.get("/wallet/keys"))


def test_a_referrer_is_named_once(place: Town, browser: Browser) -> None:
    friend = Person(place.url)
    friend.user = place.world.user(owner=friend.address)
    code = re.search(r"rewards\?ref=([0-9]+-[0-9a-f]{6})", Browser(friend).get("/wallet/rewards"))
    assert code is not None
    assert f'value="{code[1]}"' in browser.get(f"/wallet/rewards?ref={code[1]}")
    refused = browser.form("/wallet/rewards/referrer", code="1-000000")
    assert refused.status_code == 409
    assert "no account has this referral code" in text_of(refused.text)
    assert f"Account {friend.user.idx}." in text_of(browser.sent("/wallet/rewards/referrer", code=code[1]))


def test_rewards_and_tier_are_told(browser: Browser) -> None:
    text = text_of(browser.get("/wallet/rewards"))
    assert "never more than 10 % of your own charges" in text
    assert "The present epoch ends" in text
    assert re.search(r"simple yours × 1.0 100 % of retail developer × 0.8 80 % of retail, from \$50.00", text)


def test_a_team_from_its_founding_to_its_end(place: Town, browser: Browser) -> None:
    member = Browser(Person(place.url))
    page = browser.sent("/wallet/team", name="The <team>")
    assert "The &lt;team&gt;" in page
    team = re.search(r'action="(/wallet/team/\d+)/member"', page)
    assert team is not None
    assert "no account here yet" not in browser.get("/wallet/team")
    page = browser.sent(
        f"{team[1]}/member", address=member.person.address, role="member", month_limit_base="5"
    )
    assert "2, by when they came" in text_of(page)
    assert "5.00" in page
    assert "The &lt;team&gt;" in member.get("/wallet/team")
    assert "Invite somebody" not in member.get(team[1])
    refused = member.form(f"{team[1]}/member", address=member.person.address, role="owner")
    assert refused.status_code == 403
    assert "your role in this team is member" in text_of(refused.text)
    number = team[1].rpartition("/")[2]
    form = number_of_form(member.get(f"/wallet/keys?team={number}"))
    made = member.form("/wallet/keys", form=form, team=number, scope=["chat"], label="in the team")
    assert made.status_code == 201
    secret = re.search(r"sk-vibes-[\w-]{20,}", made.text)
    assert secret is not None
    assert chat(member.person, secret[0]).status_code == 200
    assert "in the team" in browser.get(team[1])
    page = browser.sent(team[1], name="Renamed", month_limit_base="1,000")
    assert "Renamed" in page
    assert "of 1,000.00 VIBES" in text_of(page)
    browser.sent(f"{team[1]}/remove", address=member.person.address)
    assert member.get(team[1], 404)
    assert chat(member.person, secret[0]).status_code == 401
    lonely = browser.form(f"{team[1]}/remove", address=browser.person.address)
    assert lonely.status_code == 409
    assert "Renamed" not in browser.sent(f"{team[1]}/close")


def test_a_call_that_a_team_paid_for_is_shown_to_who_made_it(place: Town, browser: Browser) -> None:
    member = Person(place.url)
    member.user = place.world.user(owner=member.address)
    theirs = Browser(member)
    page = browser.sent("/wallet/team", name="payers")
    team = re.search(r'action="/wallet/team/(\d+)/member"', page)
    assert team is not None
    browser.sent(f"/wallet/team/{team[1]}/member", address=member.address, role="member")
    form = number_of_form(theirs.get(f"/wallet/keys?team={team[1]}"))
    made = theirs.form("/wallet/keys", form=form, team=team[1], scope=["chat"])
    secret = re.search(r"sk-vibes-[\w-]{20,}", made.text)
    assert secret is not None
    request_id = chat(member, secret[0]).headers["x-vibes-request-id"]
    assert request_id not in theirs.get("/wallet/requests")
    assert request_id in theirs.get("/wallet/requests?paid=others")
    assert request_id in theirs.get("/wallet")
    assert "promotional credit or a team" in text_of(theirs.get(f"/wallet/requests/{request_id}"))
    assert request_id in browser.get("/wallet/requests")


def test_where_nothing_is_a_browser_sees_a_page_and_a_program_json(browser: Browser) -> None:
    page = browser.http.get("/no/such/page")
    assert page.status_code == 404
    assert "Nothing is here" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path, accept in (
        ("/no/such/page", "*/*"),
        ("/v1/no/such", "text/html"),
        ("/static/no.css", "text/html"),
    ):
        answer = browser.http.get(path, headers={"accept": accept})
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"

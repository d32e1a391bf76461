"""How far the page's session key signs, and that no router talks it into more."""

from __future__ import annotations

import json
from typing import Any

from support.page_scripts import run_script

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import (
    SignedCeiling,
    key_commitment,
    settlement_domain,
    sign_ceiling,
    verify_ceiling,
)

VIBES = 1_000_000
SECRET, EARLIER, IDX = 4242, 999, 7
PLACE = {"chain_id": 31337, "settlement": "0x5FbDB2315678afecb367f032d93F642f64180aa3"}
DOMAIN = settlement_domain(31337, PLACE["settlement"])
DAY_MS = 86_400_000
SIGNER = """
const kept = new Map(Object.entries(given.kept ?? {}));
const [getItem, setItem] = [(name) => kept.get(name) ?? null, (name, value) => kept.set(name, value)];
globalThis.localStorage = { getItem, setItem };
Date.now = () => given.now;
const { EarlierKey, Signer } = await load("daily.js");
const signer = new Signer(BigInt(given.secret), given.place, given.idx);
const asked = given.asked.map(({ account, daily, choice = {} }) => {
  if (choice.agreed) choice.agreed = BigInt(choice.agreed);
  try {
    return { signed: signer.next(account, BigInt(daily), choice) };
  } catch (error) {
    return error instanceof EarlierKey ? { earlier: String(error.spent) } : { refused: error.message };
  }
});
return { asked, kept: Object.fromEntries(kept), commit: String(signer.commit) };
"""


def account(
    spent: int = 0, ceiling: int | None = None, secret: int = SECRET, reserved: int = 0, **changes: str
) -> dict[str, Any]:
    """What GET /v1/account tells of an account, VIBES."""
    signed = None
    if ceiling is not None:
        signed = json.loads(sign_ceiling(secret, DOMAIN, IDX, ceiling * VIBES).to_json()) | changes
    return {
        "spent_base": str(spent * VIBES),
        "reserved_base": str(reserved * VIBES),
        "withdraw_requested_base": "0",
        "ceiling_base": str((ceiling or 0) * VIBES),
        "signed_ceiling": signed,
    }


def ask(*asked: dict[str, Any], now: int = DAY_MS * 20_000, **kept: str) -> dict[str, Any]:
    """What a signer answers to each question, and what the browser remembers then."""
    told: dict[str, Any] = run_script(
        SIGNER,
        {"secret": str(SECRET), "place": PLACE, "idx": IDX, "now": now, "asked": asked, "kept": kept},
    )
    return told


def question(told: dict[str, Any], daily: int, **choice: Any) -> dict[str, Any]:
    return {"account": told, "daily": str(daily * VIBES), "choice": choice}


def ceilings(told: dict[str, Any]) -> list[int | None]:
    """What was signed, VIBES; each is sound."""
    found: list[int | None] = []
    for answer in told["asked"]:
        signed = answer["signed"]
        if signed is not None:
            assert verify_ceiling(DOMAIN, SignedCeiling.from_json(json.dumps(signed, separators=(",", ":"))))
        found.append(None if signed is None else int(signed["ceiling_base"]) // VIBES)
    return found


def test_a_new_account_gets_a_dollar_at_most_and_no_more_than_the_day_allows() -> None:
    told = ask(question(account(), 500), question(account(), 30), question(account(), 500, whole=True))
    assert ceilings(told) == [100, 30, 500]
    assert told["commit"] == str(key_commitment(public_key(SECRET)))


def test_steps_go_on_ahead_of_what_is_spent_and_runs_until_the_day_is_full() -> None:
    told = ask(
        question(account(), 250),
        question(account(40, 100, reserved=10), 250),
        question(account(40, 150, reserved=10), 250),  # enough is signed for
        question(account(190, 250, reserved=5), 250),
    )
    assert ceilings(told) == [100, 150, None, None]


def test_the_day_goes_on_after_a_reload_and_ends_at_midnight() -> None:
    first = ask(question(account(20, 100), 50))
    assert ceilings(first) == [None]  # began at 20: up to 70, and 100 are signed
    later = ask(question(account(90, 100), 50, whole=True), **first["kept"])
    assert ceilings(later) == [None]  # the day began at 20 all the same
    back = ask(question(account(90, 100), 50, whole=True), now=DAY_MS * 19_999, **first["kept"])
    assert ceilings(back) == [None]  # nor does a clock that goes back begin a new one
    tomorrow = ask(question(account(90, 100), 50, whole=True), now=DAY_MS * 20_001, **first["kept"])
    assert ceilings(tomorrow) == [140]


def test_a_router_that_lies_about_what_was_spent_gets_nothing() -> None:
    forged = account(500, 600, s="1")
    told = ask(
        question(account(10**6), 50),  # spent, and never a ceiling
        question(account(101, 100), 50),  # more than this key signed for
        question(forged, 50),
    )
    assert told["asked"][0] == {"earlier": str(10**12)}
    assert "more was spent than was ever signed for" in told["asked"][1]["refused"]
    assert "did not sign" in told["asked"][2]["refused"]
    assert told["kept"] == {}


def test_what_an_earlier_key_signed_counts_once_its_owner_agrees() -> None:
    old = account(80, 200, secret=EARLIER)
    told = ask(
        question(old, 50),
        question(old, 50, agreed=str(79 * VIBES)),
        question(old, 50, agreed=str(80 * VIBES)),
    )
    assert told["asked"][0] == told["asked"][1] == {"earlier": str(80 * VIBES)}
    assert int(told["asked"][2]["signed"]["ceiling_base"]) == 130 * VIBES
    assert ceilings(ask(question(account(0, 200, secret=EARLIER), 50))) == [50]


def test_the_secret_is_not_remembered() -> None:
    told = ask(question(account(), 500))
    assert json.loads(next(iter(told["kept"].values()))) == {"day": 20_000, "spent": "0"}

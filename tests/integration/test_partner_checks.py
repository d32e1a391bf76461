"""What a partner's page checks: on a real chain, and against nodes, bundles and pages that lie about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from support.auditing import Lie, Refused, lying_node
from support.bundles import bundle_lines
from support.lies import change_calldata, change_log, change_view, topic
from support.page_scripts import run_script
from support.settling import Scenario

CHECK = """
  const { Settlement, httpNode } = await load("settlement.js");
  const { verifyAccount, verifyBatch } = await load("verify.js");
  const amounts = (told) => Object.fromEntries(
    Object.entries(told).map(([name, value]) => [name, NAMES.includes(name) ? BigInt(value) : value]));
  const NAMES = ["gross", "bps", "paid", "claimable"];
  async function* lines(all) { yield* all; }
  const settlement = new Settlement(httpNode(given.rpc), given.settlement);
  const checks = given.bundle
    ? verifyBatch(settlement, amounts(given.told), lines(given.bundle))
    : verifyAccount(settlement, amounts(given.told), given.batches.map(amounts));
  const found = [];
  try {
    for await (const check of checks) found.push(check);
  } catch (error) {
    const { Unreadable } = await load("settlement.js");
    if (!(error instanceof Unreadable)) throw error;
    found.push({ unread: error.message });
  }
  return found;
"""
PARTNER = 1
Given = dict[str, Any]


def given_batch(scenario: Scenario, number: int, partner: int = PARTNER) -> Given:
    """What the page and the bundle say about a batch."""
    stack, settling = scenario.stack, scenario.settling
    (told,) = [batch for batch in batches(scenario, partner) if batch["batch"] == number]
    receipts = sorted(
        (one.receipt for one in batch_receipts(scenario)[number - 1]),
        key=lambda one: (one.account, one.account_sequence),
    )
    head = {
        "chain_id": stack.chain_id,
        "settlement": stack.settlement.address,
        "batch": number,
        "partner": partner,
    }
    marked = [((one.digest(settling.domain), one.charge_base), one.partner == partner) for one in receipts]
    return {
        "rpc": stack.url,
        "settlement": stack.settlement.address,
        "told": told | {"chain": stack.chain_id, "partner": partner},
        "bundle": [json.dumps(head), *bundle_lines(marked)],
    }


def batch_receipts(scenario: Scenario) -> list[list[Any]]:
    """The receipts of each batch of `settling.play`."""
    receipts = scenario.settling.receipts
    return [receipts[:4], receipts[4:6], receipts[6:7]]


def batches(scenario: Scenario, partner: int) -> list[Given]:
    told = []
    for log, receipts in zip(
        scenario.stack.settlement.events.BatchSettled().get_logs(from_block=0),
        batch_receipts(scenario),
        strict=True,
    ):
        gross_base = sum(one.receipt.charge_base for one in receipts if one.receipt.partner == partner)
        told.append(
            {
                "batch": log["args"]["batchNumber"],
                "transaction": "0x" + bytes(log["transactionHash"]).hex(),
                "block": log["blockNumber"],
                "log": log["logIndex"],
                "gross": str(gross_base),
            }
        )
    return [one for one in told if one["gross"] != "0"]


def given_account(scenario: Scenario, partner: int = PARTNER) -> Given:
    """What the page says about a partner."""
    stack, functions = scenario.stack, scenario.stack.settlement.functions
    gross_base, _, _, paid_base, bps = functions.partnerAccount(partner).call()
    return {
        "rpc": stack.url,
        "settlement": stack.settlement.address,
        "told": {
            "chain": stack.chain_id,
            "partner": partner,
            "block": stack.web3.eth.block_number,
            "gross": str(gross_base),
            "bps": str(bps),
            "paid": str(paid_base),
            "claimable": str(functions.partnerClaimable(partner).call()),
            "payout": stack.payouts[partner - 1].address,
        },
        "batches": batches(scenario, partner),
    }


def failed(given: Given) -> list[str]:
    return [check["says"] for check in run_script(CHECK, given) if not check["holds"]]


@pytest.mark.parametrize(("number", "partner"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_an_honest_batch_passes_every_check(scenario: Scenario, number: int, partner: int) -> None:
    checks = run_script(CHECK, given_batch(scenario, number, partner))
    assert [check for check in checks if not check["holds"]] == []
    assert len(checks) == 12


@pytest.mark.parametrize("partner", [1, 2])
def test_an_honest_account_passes_every_check(scenario: Scenario, partner: int) -> None:
    """Partner 1's share was changed between two batches; both were paid once."""
    checks = run_script(CHECK, given_account(scenario, partner))
    assert [check for check in checks if not check["holds"]] == []
    assert sum("were applied in block" in check["says"] for check in checks) == 4 if partner == 1 else 2


def bundle_line(at: int, change: Callable[[Any], Any]) -> Callable[[Given], None]:
    def tamper(given: Given) -> None:
        given["bundle"][at] = json.dumps(change(json.loads(given["bundle"][at])))

    return tamper


def told(name: str, value: Any) -> Callable[[Given], None]:
    def tamper(given: Given) -> None:
        given["told"][name] = value

    return tamper


def drop(name: str, at: int) -> Callable[[Given], None]:
    return lambda given: given[name].pop(at)


ROOT = "The tree with the partner's 1 receipt has the root on the chain"


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (bundle_line(1, lambda piece: ["0x" + "11" * 32, piece[1]]), ROOT),
        (bundle_line(1, lambda piece: [piece[0], str(int(piece[1]) - 1)]), ROOT),
        (bundle_line(1, lambda piece: [0, *piece]), "The tree with the partner's 0 receipts has the root"),
        (drop("bundle", -1), ROOT),
        (drop("bundle", 1), "The checks of batch 1 could be finished"),
        (bundle_line(0, lambda head: head | {"batch": 2}), "The bundle is about this batch and this partner"),
        (bundle_line(2, lambda piece: "mine"), "The checks of batch 1 could be finished"),
        (told("gross", "1"), "The chain credits this partner what the page says"),
        (told("batch", 2), "settled the batch"),
        (told("transaction", "0x" + "22" * 32), "settled the batch"),
        (told("chain", 1), "The node is on the chain of this page"),
    ],
)
def test_a_bundle_or_a_page_that_lies_is_named(
    scenario: Scenario, tamper: Callable[[Given], Any], named: str
) -> None:
    given = deepcopy(given_batch(scenario, 1))
    tamper(given)
    assert named in failed(given)[0]


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (drop("batches", 1), "The batches come to the contract's own sum: none is missing"),
        (told("gross", "1"), "The page's gross is the contract's"),
        (told("paid", "1"), "The page's paid sum is the contract's"),
        (told("claimable", "2"), "The page's claimable sum is the contract's"),
        (told("bps", "3000"), "The page's share is the contract's"),
        (told("payout", "0x" + "33" * 20), "The page's payout address is the registry's"),
        (lambda given: given["batches"][0].update(gross="7"), "Batch 1 credits the partner"),
        (
            lambda given: given["batches"][0].update(transaction="0x" + "4" * 64),
            "Batch 1 credits the partner",
        ),
    ],
)
def test_a_page_that_lies_about_the_account_is_named(
    scenario: Scenario, tamper: Callable[[Given], Any], named: str
) -> None:
    given = deepcopy(given_account(scenario))
    tamper(given)
    assert named in failed(given)[0]


def lies(scenario: Scenario) -> dict[str, tuple[Lie, str]]:
    """Lies of a node, and the check that each of them fails first."""
    first = batches(scenario, PARTNER)[0]
    word = (PARTNER << 64) + int(first["gross"])
    settlement, registry = scenario.stack.settlement, scenario.stack.registry
    applied, claimed = (
        topic(scenario, "settlement", name) for name in ("PartnerTermsApplied", "PartnerClaimed")
    )

    def shift(log: dict[str, Any]) -> dict[str, Any]:
        return log | {"data": log["data"][:-1] + format((int(log["data"][-1], 16) + 1) % 16, "x")}

    return {
        "calldata": (change_calldata(first["transaction"], (word, word + 1)), "Batch 1 credits the partner"),
        "gross": (change_view(settlement, "partnerAccount", 0), "The batches come to the contract's own sum"),
        "bps": (change_view(settlement, "partnerAccount", 4), "The share since then is the contract's"),
        "paid": (change_view(settlement, "partnerAccount", 3), "The payouts in the log come to"),
        "claimable": (change_view(settlement, "partnerClaimable"), "Earned less paid is what the contract"),
        "payout": (change_view(registry, "terms"), "The page's payout address is the registry's"),
        "terms": (change_log(applied, shift, 1), "so much had been earned"),
        "no terms": (change_log(applied, lambda log: None, 1), "The share since then is the contract's"),
        "claim": (change_log(claimed, shift), "The payouts in the log come to"),
    }


@pytest.mark.parametrize(
    "name", ["calldata", "gross", "bps", "paid", "claimable", "payout", "terms", "no terms", "claim"]
)
def test_a_node_that_lies_is_named(scenario: Scenario, name: str) -> None:
    lie, named = lies(scenario)[name]
    given = given_account(scenario)
    with lying_node(scenario.stack.url, lie) as url:
        assert named in failed(given | {"rpc": url})[0]


def test_calldata_that_is_not_the_batchs_is_named(scenario: Scenario) -> None:
    given = given_batch(scenario, 1)
    word = (PARTNER << 64) + int(given["told"]["gross"])
    lie = change_calldata(given["told"]["transaction"], (word, word + 1))
    with lying_node(scenario.stack.url, lie) as url:
        assert failed(given | {"rpc": url})[0] == "What accounts were charged is what partners are credited"


def test_a_node_that_gives_short_ranges_of_logs_will_do(scenario: Scenario) -> None:
    asked = []

    def short(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            asked.append(params)
            if int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 10:
                raise Refused("the range is too long")
        return result

    with lying_node(scenario.stack.url, short) as url:
        assert failed(given_account(scenario) | {"rpc": url}) == []
    assert len(asked) > 3


def test_a_node_that_forgets_where_transactions_are_will_do(scenario: Scenario) -> None:
    """As geth does after a year."""

    def forgetful(method: str, params: list[Any], result: Any) -> Any:
        return None if method in ("eth_getTransactionByHash", "eth_getTransactionReceipt") else result

    with lying_node(scenario.stack.url, forgetful) as url:
        assert failed(given_account(scenario) | {"rpc": url}) == []
        assert failed(given_batch(scenario, 1) | {"rpc": url}) == []


def test_a_node_that_is_away_is_told(scenario: Scenario) -> None:
    """It is no check that fails: nothing is known against the figures."""
    (told,) = run_script(CHECK, given_account(scenario) | {"rpc": "http://127.0.0.1:9"})
    assert told["unread"].startswith("The node at http://127.0.0.1:9 cannot be reached")


def test_a_node_without_the_contract_is_told(scenario: Scenario) -> None:
    given = given_account(scenario) | {"settlement": "0x" + "55" * 20, "batches": []}
    *_, check = run_script(CHECK, given)
    assert not check["holds"]
    assert "There is no contract at 0x5555" in check["other"]

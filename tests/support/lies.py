"""Lies that a node may tell about the chain, told by `support.auditing.lying_node`."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from eth_utils.abi import function_abi_to_4byte_selector

from support.auditing import Audited, Lie, lying_node, run_audit
from support.settling import Scenario, export


def block_of(scenario: Scenario, number: int) -> int:
    return int(batch_log(scenario, number)["blockNumber"])


def batch_log(scenario: Scenario, number: int) -> Any:
    logs = scenario.stack.settlement.events.BatchSettled().get_logs(from_block=0)
    return logs[number - 1]


def calldata(scenario: Scenario, number: int) -> tuple[str, dict[str, Any]]:
    tx_hash = "0x" + bytes(batch_log(scenario, number)["transactionHash"]).hex()
    data = scenario.stack.web3.eth.get_transaction(tx_hash)["input"]
    return tx_hash, scenario.stack.settlement.decode_function_input(data)[1]


def hex_word(value: int) -> str:
    return f"{value:064x}"


def swap(text: str, old: int, new: int) -> str:
    assert text.count(hex_word(old)) == 1, "the word to change must be there once"
    return text.replace(hex_word(old), hex_word(new))


def is_transaction(method: str, result: Any, tx_hash: str = "") -> bool:
    """The answer is a transaction looked up by its place in a block: this one, or whichever."""
    if method not in ("eth_getTransactionByBlockHashAndIndex", "eth_getTransactionByBlockNumberAndIndex"):
        return False
    return tx_hash in ("", result["hash"])


def change_calldata(tx_hash: str, *words: tuple[int, int]) -> Lie:
    def lie(method: str, params: list[Any], result: Any) -> Any:
        if is_transaction(method, result, tx_hash):
            for old, new in words:
                result["input"] = swap(result["input"], old, new)
        return result

    return lie


def topic(scenario: Scenario, contract: str, event: str) -> str:
    return str(getattr(scenario.stack, contract).events[event]().topic)


def change_log(
    event_topic: str, change: Callable[[dict[str, Any]], dict[str, Any] | None], at: int = 0
) -> Lie:
    """Changes (or, returning None, hides) occurrence number `at` of an event."""

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        matching = [log for log in result if log["topics"][0] == event_topic]
        if not matching:
            return result
        target = matching[at]
        return [
            told for log in result if (told := change(deepcopy(log)) if log is target else log) is not None
        ]

    return lie


def change_view(contract: Any, name: str, word: int = 0, by: int = 1) -> Lie:
    """Adds to one word of what a view returns."""
    selector = "0x" + function_abi_to_4byte_selector(contract.get_function_by_name(name).abi).hex()

    def lie(method: str, params: list[Any], result: Any) -> Any:
        call = params[0] if method == "eth_call" else {}
        data = call.get("data", call.get("input", ""))
        if not data.startswith(selector) or call["to"].lower() != contract.address.lower():
            return result
        words = [result[at : at + 64] for at in range(2, len(result), 64)]
        words[word] = hex_word(int(words[word], 16) + by)
        return "0x" + "".join(words)

    return lie


def audit_through(scenario: Scenario, folder: Path, lie: Lie) -> Audited:
    receipts = export(folder / "receipts.jsonl", scenario.settling.receipts)
    with lying_node(scenario.stack.url, lie) as url:
        return run_audit(url, scenario.stack.settlement.address, receipts, "--json")

"""Where the gas of a transaction goes: each step of its trace is put down to what it pays for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

BASE_GAS = 21_000
ZERO_BYTE_GAS = 4
BYTE_GAS = 16
SMALL_SLOT = 2**64
"""Storage slots from here on are hashes: entries of a mapping."""

CALLS = ("CALL", "STATICCALL", "DELEGATECALL", "CALLCODE")
LOGS = ("LOG0", "LOG1", "LOG2", "LOG3", "LOG4")


class TraceMismatch(Exception):
    """The parts do not add up to what the receipt says."""

    def __init__(self, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"the parts add up to {actual} gas, the transaction used {expected}")


@dataclass(frozen=True)
class Parts:
    """Gas of one settled batch by what it pays for; the fields add up to the transaction's gas.

    base: what every transaction costs.
    calldata: by the byte, zero bytes are cheaper.
    verification: the call of the verifier.
    state: storage reads and writes of the settlement but for partners: roles, verifier, root, counters.
    partners: storage reads and writes of the partners' ledgers.
    event: BatchSettled.
    burn: the call of the token.
    other_calls: further contracts.
    slots: all arithmetic: the words' hash, their evaluation at r, sums and checks, shares.
    refund: gas given back (negative).
    """

    base: int
    calldata: int
    verification: int
    state: int
    partners: int
    event: int
    burn: int
    other_calls: int
    slots: int
    refund: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def calldata_gas(data: bytes) -> int:
    """What a transaction's data costs before execution (EIP-2028)."""
    return sum(BYTE_GAS if byte else ZERO_BYTE_GAS for byte in data)


def parts(
    data: bytes,
    gas_limit: int,
    gas_used: int,
    steps: Sequence[Mapping[str, Any]],
    contracts: Mapping[str, str],
) -> Parts:
    """The parts of a settled batch of charges.

    Args:
        data: the transaction's input.
        gas_limit, gas_used: of the transaction and its receipt.
        steps: `structLogs` of debug_traceTransaction with stacks.
        contracts: "verification" and "burn" with the addresses whose calls they are.

    Raises:
        TraceMismatch: gas before the first step is not what base and calldata cost.
    """
    calldata = calldata_gas(data)
    start = int(steps[0]["gas"])
    if gas_limit - start != BASE_GAS + calldata:
        raise TraceMismatch(gas_limit - start, BASE_GAS + calldata)
    own = [step for step in steps if step["depth"] == 1]
    written = {_slot(step) for step in own if step["op"] == "SSTORE"}
    named = {int(address, 16): name for name, address in contracts.items()}
    spent = dict.fromkeys(("verification", "state", "partners", "event", "burn", "other_calls", "slots"), 0)
    for step, following in pairwise(own):
        spent[_part(step, written, named)] += int(step["gas"]) - int(following["gas"])
    end = int(own[-1]["gas"]) - int(own[-1]["gasCost"])
    spent["slots"] += int(own[-1]["gasCost"])
    refund = gas_used - (gas_limit - end)
    return Parts(base=BASE_GAS, calldata=calldata, refund=refund, **spent)


def _part(step: Mapping[str, Any], written: set[int], named: Mapping[int, str]) -> str:
    operation = step["op"]
    if operation in CALLS:
        return named.get(int(step["stack"][-2], 16), "other_calls")
    if operation in LOGS:
        return "event"
    if operation in ("SLOAD", "SSTORE"):
        slot = _slot(step)
        return "partners" if slot >= SMALL_SLOT and slot in written else "state"
    return "slots"


def _slot(step: Mapping[str, Any]) -> int:
    return int(step["stack"][-1], 16)

"""Money between a wallet and the settlement contract: what stands where, deposits, withdrawals.

Leaving without the operator's help is ``vibes exit``; docs/leaving.md says how.

Source: docs/protocol.md (contract), EIP-20, EIP-2612 (permit), EIP-712.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eth_account.signers.local import LocalAccount

from mini_llm.wallet.address import to_checksum_address
from mini_llm.wallet.errors import WalletError
from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.money import vibes
from mini_llm.wallet.node import Call, Node, call_data

DEPOSIT_GAS: Final = 300_000
"""Limit for a deposit whose approval is not mined yet, so that it cannot be estimated."""
INTENT_S: Final = 3600
STATUS: Final = ("none", "unopened", "open", "frozen", "exited")
_ACCOUNT: Final = (
    *("address", "uint64", "uint64", "uint64", "uint40", "uint40"),
    *("uint256", "uint64", "uint40", "uint8", "uint256"),
)


class CannotBeDone(WalletError):
    """A deposit or withdrawal that the contract would refuse, for a reason that can be said in words."""


@dataclass(frozen=True)
class Holdings:
    """What a wallet has, base units; times in unix seconds, 0 for none.

    Attributes:
        owner: its address.
        idx: number of its account, 0 without one.
        status: one of ``STATUS``.
        wallet_base: tokens in the wallet.
        gas_wei: what it has for gas.
        pending_deposit_base: deposited, and in no batch yet.
        cancelling_base: the part of it that was announced to be taken back.
        withdraw_requested_base: asked for, and not served yet.
        withdraw_deadline_s: until when the operator has to serve it.
        withdrawable_base: served, to be paid by ``withdraw --finish``.
    """

    owner: str
    idx: int
    status: str
    wallet_base: int
    gas_wei: int
    pending_deposit_base: int
    cancelling_base: int
    withdraw_requested_base: int
    withdraw_deadline_s: int
    withdrawable_base: int


class Settlement:
    """The contract as its users see it."""

    def __init__(self, node: Node, address: str, chain_id: int) -> None:
        self._node, self._chain_id, self.address = node, chain_id, address
        node.check_chain()
        self.token = to_checksum_address(node.view(address, "token()", ["address"])[0])

    def holdings(self, owner: str) -> Holdings:
        """What a wallet has, in it and in the contract.

        Raises:
            NodeUnreachable: the node does not tell.
        """
        (idx,) = self._node.view(self.address, "indexOf(address)", ["uint256"], owner)
        (wallet_base,) = self._node.view(self.token, "balanceOf(address)", ["uint256"], owner)
        told = self._node.view(self.address, "account(uint256)", _ACCOUNT, idx)
        _, pending, requested, withdrawable, deadline_s, _, _, cancelling, _, status, _ = told
        return Holdings(
            owner=owner,
            idx=idx,
            status=STATUS[status],
            wallet_base=wallet_base,
            gas_wei=self._node.balance_wei(owner),
            pending_deposit_base=pending,
            cancelling_base=cancelling,
            withdraw_requested_base=requested,
            withdraw_deadline_s=deadline_s,
            withdrawable_base=withdrawable,
        )

    def check_deposit(self, holdings: Holdings, amount_base: int) -> None:
        """Says in words why a deposit would be refused.

        Raises:
            CannotBeDone: it would.
        """
        _check_amount(amount_base)
        if holdings.wallet_base < amount_base:
            has = vibes(holdings.wallet_base)
            raise CannotBeDone(f"the wallet has {has} VIBES, not {vibes(amount_base)}")
        if holdings.status in ("frozen", "exited"):
            raise CannotBeDone(f"the account is {holdings.status}: it takes no deposits any more")
        (least_base,) = self._node.view(self.address, "minFirstDeposit()", ["uint256"])
        if not holdings.idx and amount_base < least_base:
            raise CannotBeDone(f"a first deposit is at least {vibes(least_base)} VIBES")

    def deposit(self, owner: str, amount_base: int, key_commit: int) -> list[Call]:
        """Approve, unless that was done, and deposit: two transactions that any wallet can sign.

        Args:
            owner: the wallet.
            amount_base: base units.
            key_commit: the session key's commitment for the first deposit, 0 for later ones.
        """
        data = call_data("deposit(uint256,uint256)", amount_base, key_commit)
        words = f"deposit {vibes(amount_base)} VIBES"
        (allowed_base,) = self._node.view(
            self.token, "allowance(address,address)", ["uint256"], owner, self.address
        )
        if allowed_base >= amount_base:
            return [Call(words, self.address, data)]
        approval = call_data("approve(address,uint256)", self.address, amount_base)
        return [
            Call(f"let the contract take {vibes(amount_base)} VIBES", self.token, approval),
            Call(words, self.address, data, DEPOSIT_GAS),
        ]

    def deposit_by_permit(self, key: LocalAccount, amount_base: int, key_commit: int) -> Call:
        """The same in one transaction: the approval is a signature (EIP-2612), valid for an hour."""
        deadline_s = self._node.now_s() + INTENT_S
        (intents,) = self._node.view(self.address, "nonces(address)", ["uint256"], key.address)
        (permits,) = self._node.view(self.token, "nonces(address)", ["uint256"], key.address)
        (name,) = self._node.view(self.token, "name()", ["string"])
        intent = {"owner": key.address, "amount": amount_base, "keyCommit": key_commit}
        permit = {"owner": key.address, "spender": self.address, "value": amount_base}
        signed_intent = self._sign(
            key, "VIBES Settlement", self.address, "DepositIntent", intent, intents, deadline_s
        )
        signed = self._sign(key, name, self.token, "Permit", permit, permits, deadline_s)
        data = call_data(
            "depositWithPermit((address,uint256,uint256,uint256),bytes,uint8,bytes32,bytes32)",
            (key.address, amount_base, key_commit, deadline_s),
            bytes(signed_intent.signature),
            signed.v,
            signed.r.to_bytes(32, "big"),
            signed.s.to_bytes(32, "big"),
        )
        return Call(f"deposit {vibes(amount_base)} VIBES", self.address, data)

    def request_withdrawal(self, holdings: Holdings, amount_base: int) -> Call:
        """Asks the operator to set an amount aside, which it has to do within the service deadline.

        Raises:
            CannotBeDone: the contract would refuse.
        """
        _check_amount(amount_base)
        if holdings.status != "open":
            raise CannotBeDone(
                "the account is not open yet: `vibes exit` takes back a deposit that no batch has taken"
                if holdings.status in ("none", "unopened")
                else f"the account is {holdings.status}: `vibes exit` pays what is left"
            )
        if holdings.withdraw_requested_base:
            asked = vibes(holdings.withdraw_requested_base)
            raise CannotBeDone(f"{asked} VIBES are asked for already: one request at a time")
        data = call_data("requestWithdrawal(uint256)", amount_base)
        return Call(f"ask for {vibes(amount_base)} VIBES", self.address, data)

    def finish_withdrawal(self, holdings: Holdings) -> Call:
        """Pays what the operator has set aside.

        Raises:
            CannotBeDone: nothing is.
        """
        if not holdings.withdrawable_base:
            raise CannotBeDone("nothing is set aside yet: the operator serves requests with its next batch")
        data = call_data("withdraw(uint256)", holdings.idx)
        return Call(f"pay {vibes(holdings.withdrawable_base)} VIBES to the wallet", self.address, data)

    def _sign(
        self,
        key: LocalAccount,
        name: str,
        contract: str,
        kind: str,
        message: dict[str, Any],
        nonce: int,
        deadline_s: int,
    ) -> Any:
        message = message | {"nonce": nonce, "deadline": deadline_s}
        domain = {
            "name": name,
            "version": "1",
            "chainId": self._chain_id,
            "verifyingContract": contract,
        }
        fields = [
            {"name": field, "type": "address" if isinstance(value, str) else "uint256"}
            for field, value in message.items()
        ]
        return key.sign_typed_data(domain, {kind: fields}, message)


def _check_amount(amount_base: int) -> None:
    if not 1 <= amount_base <= MAX_AMOUNT_BASE:
        raise CannotBeDone(f"{vibes(amount_base)} VIBES is no amount that the contract takes")

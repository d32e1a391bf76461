"""The contracts on a local chain, and wallets that use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak
from hexbytes import HexBytes
from web3.contract import Contract
from web3.types import TxReceipt

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import (
    SignedCeiling,
    derive_session_secret,
    key_commitment,
    session_key_typed_data,
    settlement_domain,
    sign_ceiling,
)
from support.anvil import Anvil, artifact

VIBES = 1_000_000  # base units
DAY_S = 86_400
SERVICE_DEADLINE_S = 7 * DAY_S
TIMELOCK_DELAY_S = 3 * SERVICE_DEADLINE_S + 3 * DAY_S
FEE_BPS, BURN_BPS, POOL_BPS = 1_500, 500, 1_000
PARTNERS = (("pithy-labs", 3_000), ("long-form", 2_500))


def labelled_account(label: str) -> LocalAccount:
    """The same account for the same label, on every run."""
    return Account.from_key(keccak(label.encode()))


@dataclass
class Wallet:
    """A user: an Ethereum account and the session key derived from it."""

    account: LocalAccount
    session_secret: int
    domain: int
    idx: int = 0

    @property
    def address(self) -> str:
        return self.account.address

    @property
    def key_commit(self) -> int:
        return key_commitment(public_key(self.session_secret))

    def ceiling(self, ceiling_base: int) -> SignedCeiling:
        return sign_ceiling(self.session_secret, self.domain, self.idx, ceiling_base)


class Stack:
    """Token, timelock (proposer: `owner`), registry with two partners, settlement and verifiers."""

    def __init__(self, anvil: Anvil, sizes: tuple[int, ...] = (4,)) -> None:
        self.anvil, self.web3, self.url = anvil, anvil.web3, anvil.url
        self.chain_id: int = self.web3.eth.chain_id
        self.owner = self.funded("owner")
        self.operator = self.funded("operator")
        self.relayer = self.funded("relayer")
        self.treasury = labelled_account("treasury")
        self.receipt_signer = labelled_account("receipt signer")
        self.guardian = self.funded("guardian")
        self.token = self.deploy("VibesToken", self.owner.address, [])
        self.timelock = self.deploy("PolicyTimelock", TIMELOCK_DELAY_S, self.owner.address)
        self.payouts = [labelled_account(name) for name, _ in PARTNERS]
        partners = [
            (name, payout.address, bps) for (name, bps), payout in zip(PARTNERS, self.payouts, strict=True)
        ]
        self.registry = self.deploy("PartnerRegistry", self.timelock.address, 3_000, partners)
        self.exit_verifier = self.deploy("ExitVerifier")
        self.verifiers = {size: self.deploy(f"BatchVerifier{size}") for size in sizes}
        config = {
            "token": self.token.address,
            "registry": self.registry.address,
            "treasury": self.treasury.address,
            "owner": self.timelock.address,
            "guardian": self.guardian.address,
            "operator": self.operator.address,
            "receiptSigner": self.receipt_signer.address,
            "feeBps": FEE_BPS,
            "burnBps": BURN_BPS,
            "poolBps": POOL_BPS,
            "serviceDeadline": SERVICE_DEADLINE_S,
            "minFirstDeposit": VIBES,
            "exitVerifier": self.exit_verifier.address,
            "batchVerifiers": [verifier.address for verifier in self.verifiers.values()],
        }
        self.settlement = self.deploy("Settlement", tuple(config.values()))
        self.domain = settlement_domain(self.chain_id, self.settlement.address)

    # -- chain

    def funded(self, label: str) -> LocalAccount:
        """An account with ether for gas."""
        account = labelled_account(label)
        self.anvil.rpc("anvil_setBalance", account.address, hex(10**21))
        return account

    def deploy(self, name: str, *arguments: Any) -> Contract:
        abi, bytecode = artifact(name)
        factory = self.web3.eth.contract(abi=abi, bytecode=bytecode)
        receipt = self.send(self.owner, factory.constructor(*arguments))
        return self.web3.eth.contract(address=receipt["contractAddress"], abi=abi)

    def send(self, account: LocalAccount, call: Any) -> TxReceipt:
        """Signs, sends and waits; a revert raises on estimating the gas."""
        transaction = call.build_transaction(
            {"from": account.address, "nonce": self.web3.eth.get_transaction_count(account.address)}
        )
        signed = account.sign_transaction(transaction)
        tx_hash = self.web3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = self.web3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.01)
        assert receipt["status"] == 1
        return receipt

    def as_timelock(self, call: Any) -> TxReceipt:
        """Sends what only the timelock may, as if proposed and waited for."""
        tx_hash = self.send_as_timelock(call)
        receipt = self.web3.eth.wait_for_transaction_receipt(tx_hash, timeout=30, poll_latency=0.01)
        assert receipt["status"] == 1
        return receipt

    def send_as_timelock(self, call: Any, fees: dict[str, int] | None = None) -> HexBytes:
        """The same without waiting for a block."""
        self.anvil.rpc("anvil_impersonateAccount", self.timelock.address)
        self.anvil.rpc("anvil_setBalance", self.timelock.address, hex(10**21))
        return call.transact({"from": self.timelock.address, **(fees or {})})

    def custody_base(self) -> int:
        """Tokens that the settlement holds, base units."""
        return int(self.token.functions.balanceOf(self.settlement.address).call())

    # -- users

    def wallet(self, label: str, tokens_base: int) -> Wallet:
        """A wallet with tokens, without ether, and a session key from its EIP-712 signature."""
        account = labelled_account(label)
        self.send(self.owner, self.token.functions.mint(account.address, tokens_base))
        typed = session_key_typed_data(self.chain_id, self.settlement.address)
        secret = derive_session_secret(bytes(account.sign_typed_data(full_message=typed).signature))
        return Wallet(account, secret, self.domain)

    def deposit(self, wallet: Wallet, amount_base: int) -> int:
        """Deposits by permit through the relayer and returns the account's index."""
        idx = self.settlement.functions.indexOf(wallet.address).call()
        key_commit = 0 if idx else wallet.key_commit
        deadline = self.web3.eth.get_block("latest")["timestamp"] + 3_600
        intent = {
            "owner": wallet.address,
            "amount": amount_base,
            "keyCommit": key_commit,
            "nonce": self.settlement.functions.nonces(wallet.address).call(),
            "deadline": deadline,
        }
        permit = {
            "owner": wallet.address,
            "spender": self.settlement.address,
            "value": amount_base,
            "nonce": self.token.functions.nonces(wallet.address).call(),
            "deadline": deadline,
        }
        signed_intent = wallet.account.sign_typed_data(
            self._eip712("VIBES Settlement", self.settlement), {"DepositIntent": _fields(intent)}, intent
        )
        signed_permit = wallet.account.sign_typed_data(
            self._eip712("VIBES", self.token), {"Permit": _fields(permit)}, permit
        )
        self.send(
            self.relayer,
            self.settlement.functions.depositWithPermit(
                (wallet.address, amount_base, key_commit, deadline),
                signed_intent.signature,
                signed_permit.v,
                signed_permit.r.to_bytes(32, "big"),
                signed_permit.s.to_bytes(32, "big"),
            ),
        )
        wallet.idx = self.settlement.functions.indexOf(wallet.address).call()
        return wallet.idx

    def request_withdrawal(self, wallet: Wallet, amount_base: int) -> None:
        self.fund_gas(wallet)
        self.send(wallet.account, self.settlement.functions.requestWithdrawal(amount_base))

    def change_key(self, wallet: Wallet, index: int) -> None:
        """Requests session key number `index`; the wallet signs with it from now on."""
        self.fund_gas(wallet)
        typed = session_key_typed_data(self.chain_id, self.settlement.address, index)
        signature = wallet.account.sign_typed_data(full_message=typed).signature
        wallet.session_secret = derive_session_secret(bytes(signature))
        self.send(wallet.account, self.settlement.functions.setSessionKey(wallet.key_commit))

    def fund_gas(self, wallet: Wallet) -> None:
        """Ether for what the wallet sends itself."""
        self.anvil.rpc("anvil_setBalance", wallet.address, hex(10**19))

    def _eip712(self, name: str, contract: Contract) -> dict[str, Any]:
        return {
            "name": name,
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": contract.address,
        }


def _fields(message: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "type": "address" if isinstance(value, str) else "uint256"}
        for name, value in message.items()
    ]

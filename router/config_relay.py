"""The part of the configuration file that is about the chain: who sends what others signed, and what for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from mini_llm.config import Name, Strict
from mini_llm.wallet.limits import BASE_PER_USD, MAX_AMOUNT_BASE, MAX_IDX
from router.config_people import NO_NODE, is_http

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


def _node(url: SecretStr) -> SecretStr:
    if not is_http(url.get_secret_value()):
        raise ValueError(NO_NODE)
    return url


class Deposits(Strict):
    """Deposits that the relay sends for wallets that have no coin for gas; bounds what that may cost.

    Attributes:
        least_base: least amount of one, base units; the contract has a least first deposit of its own.
        wallet_day: most deposits of one wallet in 24 hours, failed ones included.
        day: most of all wallets together.
        kept_percent: part of `day` for wallets that have an account already: newcomers cannot use it up.
    """

    least_base: Annotated[int, Field(ge=1, le=MAX_AMOUNT_BASE)] = BASE_PER_USD
    wallet_day: Annotated[int, Field(ge=1, le=1000)] = 5
    day: Annotated[int, Field(ge=1, le=10**6)] = 200
    kept_percent: Annotated[int, Field(ge=0, le=100)] = 25


class Relay(Strict):
    """The operator's wallet that sends to the chain what others signed (EIP-3009), and pays the gas.

    Attributes:
        key_file: file with its private key; it needs the chain's coin and is used for nothing else.
        rpc_url: JSON-RPC node of the chain that `VIBES_CHAIN_ID` names.
        asset, asset_name, asset_version: the token and its EIP-712 name and version.
        confirmations: blocks after which a transfer counts as settled, its own included.
        max_fee_gwei: the most to pay for one unit of gas.
        deposits: sends deposits too, if present.
    """

    key_file: Path
    rpc_url: Annotated[SecretStr, AfterValidator(_node)]
    asset: Address
    asset_name: Name = "VIBES"
    asset_version: Name = "1"
    confirmations: Annotated[int, Field(ge=1, le=1000)] = 1
    max_fee_gwei: Annotated[int, Field(ge=1, le=10**6)] = 500
    deposits: Deposits | None = None


class X402Config(Strict):
    """Calls that are paid one by one, without an API key; `relay` sends their payments.

    Attributes:
        pay_to: address that payments go to; of one ledger only.
        account: ledger account that is charged for such calls, funded by the operator.
        least_base: least payment, base units: settling one costs gas.
        max_timeout_s: how long a payment's signature should be good.
        settle_timeout_s: longest wait for the chain before the client is told to come back.
        public_url: address under which clients reach the router, if it is not the one in their requests.
        address_checks: bad payments of one address that a worker checks within ten minutes, so that
            nobody keeps the node busy for nothing; settled ones do not count.
        payer_reverts: chain transactions of one payer that may revert in 24 hours.
        contract_reverts: of all payers together that are contracts (EIP-1271).
        address_reverts: of payments that came from one address to a worker.
    """

    pay_to: Address
    account: Annotated[int, Field(ge=1, le=MAX_IDX)]
    least_base: Annotated[int, Field(ge=1, le=MAX_AMOUNT_BASE)] = 10_000
    max_timeout_s: Annotated[int, Field(ge=10, le=3600)] = 120
    settle_timeout_s: Annotated[int, Field(ge=1, le=600)] = 30
    public_url: str | None = None
    address_checks: Annotated[int, Field(ge=1, le=10**6)] = 600
    payer_reverts: Annotated[int, Field(ge=1, le=10**6)] = 5
    contract_reverts: Annotated[int, Field(ge=0, le=10**6)] = 50
    address_reverts: Annotated[int, Field(ge=1, le=10**6)] = 20

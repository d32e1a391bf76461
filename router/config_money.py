"""The part of the configuration file that is about prices of calls: who pays less, and who else pays."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN
from typing import Annotated, Final

from pydantic import Field

from mini_llm.config_base import Name, Strict, Usd
from mini_llm.errors import ConfigError
from mini_llm.price import parse_usd
from mini_llm.wallet.limits import BASE_PER_VIBES, BPS, MAX_IDX
from mini_llm.wallet.receipt import ReceiptDomain

Bps = Annotated[int, Field(ge=0, le=BPS)]
Idx = Annotated[int, Field(ge=1, le=MAX_IDX)]
_MAX_DRAIN_S: Final = 20  # shorter than a router's grace when it stops


class Policy(Strict):
    """How a charge is split, in basis points of it; what is left goes to the treasury.

    Attributes:
        fee_bps: protocol fee, within what the contract takes.
        burn_bps: burned.
        pool_bps: reward pool.
        wholesale_bps: what the provider bills for a call, in basis points of its retail price.
        byok_fee_bps: price of a call with the user's own provider key, in basis points of its retail price.
    """

    fee_bps: Annotated[int, Field(ge=1_000, le=2_000)] = 1500
    burn_bps: Bps = 500
    pool_bps: Bps = 1000
    wholesale_bps: Bps = 5000
    byok_fee_bps: Bps = 0

    @property
    def kept_bps(self) -> int:
        """Fee, treasury and partner share together: what can pay the provider's bill."""
        return BPS - self.burn_bps - self.pool_bps


class Subsidy(Strict):
    """Who pays for a tier that loses money, and how much of it at most.

    Attributes:
        account: a name for the operator's own books; the sums are kept under it.
        cap_usd: most that the tier's calls may lose in all, as a decimal string.
    """

    account: Name
    cap_usd: Usd


class Tier(Strict):
    """A price for accounts that have earned it.

    Attributes:
        name: as accounts see it.
        rate_bps: its price, in basis points of the retail price.
        margin_usd: net margin of the last 30 days from which on an account has it.
        subsidy: who pays, where the tier does not pay for itself.
    """

    name: Name
    rate_bps: Annotated[int, Field(ge=1, le=BPS)]
    margin_usd: Usd = "0"
    subsidy: Subsidy | None = None

    def pays(self, policy: Policy) -> bool:
        """What is kept of a charge is at least what the provider bills for the call."""
        return self.rate_bps * policy.kept_bps >= policy.wholesale_bps * BPS

    def subsidised_base(self, policy: Policy, vibes_per_usd: int) -> int:
        """Charges at which the subsidy's cap is used up, base units: what its budget is limited to."""
        if self.subsidy is None or self.pays(policy):
            return 0
        cap_base = usd_base(self.subsidy.cap_usd, vibes_per_usd)
        # of a charge c the retail price is c / rate, so c x (wholesale / rate - kept) is lost
        lost = policy.wholesale_bps * BPS - policy.kept_bps * self.rate_bps
        return cap_base * self.rate_bps * BPS // lost


NO_CHAIN: Final = ReceiptDomain(0, "0x" + "00" * 20)
"""The domain of receipts where accounts hold credit with the operator, and no contract holds anything."""
_NEED_A_CHAIN: Final = ("VIBES_CHAIN_ID", "VIBES_SETTLEMENT", "VIBES_PUBLIC_URL", "VIBES_RPC_URL")


def no_chain(environ: Mapping[str, str]) -> ReceiptDomain | None:
    """`NO_CHAIN` if `VIBES_CREDIT_ONLY` says that there is no chain and no token, else None.

    Raises:
        ConfigError: it says neither yes nor no, or yes beside something that needs a chain.
    """
    if (text := environ.get("VIBES_CREDIT_ONLY") or "no") not in ("yes", "no"):
        raise ConfigError("VIBES_CREDIT_ONLY", f"{text!r} is neither yes nor no")
    needing = next((name for name in _NEED_A_CHAIN if environ.get(name)), None)
    if text == "yes" and needing is not None:
        raise ConfigError(needing, "needs a chain, and VIBES_CREDIT_ONLY says that there is none")
    return NO_CHAIN if text == "yes" else None


DEFAULT_TIERS: Final = (
    Tier(name="simple", rate_bps=10_000),
    Tier(name="developer", rate_bps=8_000, margin_usd="50"),
    Tier(name="enterprise", rate_bps=6_000, margin_usd="1000"),
    Tier(name="agent_zero", rate_bps=4_000, margin_usd="10000"),
)
"""The tiers of a configuration that names none; those that do not pay for themselves are left out."""


class Promotion(Strict):
    """Promotional credit.

    Attributes:
        sponsor: account that pays for the calls.
        signup_usd: granted to each account once it has a deposit; "0" for nothing.
        least_deposit_usd: what the account must hold, or have spent, for that.
        signups_day: most accounts that are granted it in 24 hours; others wait.
    """

    sponsor: Idx
    signup_usd: Usd = "0"
    least_deposit_usd: Usd = "5"
    signups_day: Annotated[int, Field(ge=1, le=10**6)] = 100


class Rewards(Strict):
    """How the reward pool is shared out among those who paid into it.

    Attributes:
        enabled: routers close epochs when they end; else only `vibes-router rewards close-epoch` does.
        score: routers score calls, each in a process of its own beside it; read when a router starts. Without
            scores all calls weigh the same.
        epoch_s: length of an epoch, seconds; rewards vest when the next one closes.
        referral_bps: part of a referred account's weighted fees that counts for its referrer instead.
    """

    enabled: bool = True
    score: bool = False
    epoch_s: Annotated[int, Field(ge=1, le=366 * 86_400)] = 7 * 86_400
    referral_bps: Bps = 1000


class HangUp(Strict):
    """How far the provider of a stream is read on when its client is gone, to learn what was used.

    Attributes:
        seconds: longest time; 0 cuts it off at once.
        bytes: most bytes of answer.
    """

    seconds: Annotated[float, Field(ge=0, le=_MAX_DRAIN_S)] = 2.0
    bytes: Annotated[int, Field(ge=0, le=2**24)] = 2**16


def usd_base(usd: str, vibes_per_usd: int) -> int:
    """An amount of USD in base units, rounded down.

    Raises:
        ValueError: not a plain decimal.
    """
    exact = parse_usd(usd) * vibes_per_usd * BASE_PER_VIBES
    return int(exact.to_integral_value(rounding=ROUND_DOWN))

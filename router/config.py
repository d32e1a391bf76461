"""The router's settings: the environment is read here, once, and values are passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from mini_llm.config import Name, RoutingConfig, Strict, load_config
from mini_llm.deployment import HOUSE_PARTNER, MAX_PARTNER_ID
from mini_llm.errors import ConfigError
from mini_llm.wallet.limits import BPS
from mini_llm.wallet.receipt import InvalidReceipt, ReceiptDomain
from router.config_people import PeopleSettings, load_people
from router.errors import LosesMoney, SplitExceedsCharge
from router.operating import Operating, load_operating

DEFAULT_MAX_BODY_BYTES: Final = 4 * 2**20
DEFAULT_LEASE_S: Final = 60

Bps = Annotated[int, Field(ge=0, le=BPS)]


class Policy(Strict):
    """How a charge is split, in basis points of it; what is left goes to the treasury.

    Attributes:
        fee_bps: protocol fee.
        burn_bps: burned.
        pool_bps: reward pool.
        wholesale_bps: what the provider bills for a call, in basis points of its retail price.
        byok_fee_bps: what a call with the user's own provider key costs, in basis points of the retail price.
    """

    fee_bps: Bps = 1500
    burn_bps: Bps = 500
    pool_bps: Bps = 1000
    wholesale_bps: Bps = 5000
    byok_fee_bps: Bps = 0


class Partner(Strict):
    """A model provider that earns `bps` of its charges; `id` as in the PartnerRegistry."""

    id: Annotated[int, Field(gt=HOUSE_PARTNER, le=MAX_PARTNER_ID)]
    name: Name
    bps: Bps


class RouterConfig(RoutingConfig):
    """The configuration file."""

    vibes_per_usd: Annotated[int, Field(ge=1, le=10**6)] = 100
    policy: Policy = Policy()
    partners: tuple[Partner, ...] = ()

    @model_validator(mode="after")
    def _partners_are_known(self) -> Self:
        ids = [partner.id for partner in self.partners]
        if len(set(ids)) != len(ids):
            raise ValueError("two partners have the same id")
        for deployment in self.deployments:
            if deployment.partner not in (HOUSE_PARTNER, *ids):
                raise ValueError(
                    f"model {deployment.model!r} names partner {deployment.partner}, not in partners"
                )
        return self

    def partner_bps(self, partner_id: int) -> int:
        """The share of a partner, 0 for the house."""
        return next((partner.bps for partner in self.partners if partner.id == partner_id), 0)


@dataclass(frozen=True)
class Settings:
    """All that the router is told.

    Attributes:
        config: providers, deployments, partners and policy.
        ledger_url: SQLAlchemy URL of the ledger.
        domain: chain and settlement contract that receipts and ceilings are for.
        receipt_key: 32-byte secp256k1 key that signs receipts.
        max_body_bytes: longest request body.
        lease_s: how long a reservation outlives its worker.
        operating: limits, drain, hosts, proxies.
        people: sign-in and sealed keys.
    """

    config: RouterConfig
    ledger_url: str
    domain: ReceiptDomain
    receipt_key: bytes = field(repr=False)
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    lease_s: int = DEFAULT_LEASE_S
    operating: Operating = field(default_factory=Operating)
    people: PeopleSettings = field(default_factory=PeopleSettings)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the settings from the environment and the file that it names.

    Needed: `VIBES_CONFIG`, `VIBES_LEDGER_URL`, `VIBES_CHAIN_ID`, `VIBES_SETTLEMENT` and
    `VIBES_RECEIPT_KEY_FILE`. Optional: `VIBES_MAX_BODY_BYTES`, `VIBES_LEASE_S`.

    Raises:
        ConfigError: a variable or a value of the file is missing or unusable, or the policy loses money.
    """
    config = load_config(Path(_required(environ, "VIBES_CONFIG")), RouterConfig, environ)
    check_economics(config)
    try:
        domain = ReceiptDomain(_integer(environ, "VIBES_CHAIN_ID"), _required(environ, "VIBES_SETTLEMENT"))
    except InvalidReceipt as error:
        raise ConfigError("VIBES_SETTLEMENT", error.reason) from None
    return Settings(
        config=config,
        ledger_url=load_ledger_url(environ),
        domain=domain,
        receipt_key=_read_key(Path(_required(environ, "VIBES_RECEIPT_KEY_FILE"))),
        max_body_bytes=_integer(environ, "VIBES_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES),
        lease_s=_integer(environ, "VIBES_LEASE_S", DEFAULT_LEASE_S),
        operating=load_operating(environ),
        people=load_people(environ),
    )


def load_ledger_url(environ: Mapping[str, str]) -> str:
    """Reads `VIBES_LEDGER_URL` alone, for commands that need nothing else.

    Raises:
        ConfigError: it is not set.
    """
    return _required(environ, "VIBES_LEDGER_URL")


def check_economics(config: RouterConfig) -> None:
    """Refuses a split that takes more than the charge, or leaves less of it than the provider bills.

    The rule `fee + treasury + partner share >= wholesale`, at the base tier, for the house and each partner.

    Raises:
        SplitExceedsCharge: the shares sum to more than 10000 bps.
        LosesMoney: the rule does not hold.
    """
    policy = config.policy
    names = {HOUSE_PARTNER: "house"} | {partner.id: partner.name for partner in config.partners}
    for partner_id, name in names.items():
        partner_bps = config.partner_bps(partner_id)
        taken_bps = partner_bps + policy.fee_bps + policy.burn_bps + policy.pool_bps
        if taken_bps > BPS:
            raise SplitExceedsCharge(name, taken_bps)
        treasury_bps = BPS - taken_bps
        kept_bps = policy.fee_bps + treasury_bps + partner_bps
        if kept_bps < policy.wholesale_bps:
            raise LosesMoney(name, kept_bps, policy.wholesale_bps)


def _required(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise ConfigError(name, "is not set in the environment; `vibes-router serve --help` shows an example")
    return environ[name]


def _integer(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    if default is not None and not environ.get(name):
        return default
    text = _required(environ, name)
    if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) < 1:
        raise ConfigError(name, f"{text!r} is not a positive integer")
    return int(text)


def _read_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip().removeprefix("0x"))
    except OSError as error:
        raise ConfigError("VIBES_RECEIPT_KEY_FILE", f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        key = b""
    if len(key) != 32 or not any(key):
        raise ConfigError(
            "VIBES_RECEIPT_KEY_FILE", f"{path} does not hold a private key: 0x and 64 hex digits"
        )
    return key

"""The router's settings: the environment is read here, once, and values are passed on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from mini_llm.config import Name, RoutingConfig, Strict
from mini_llm.config_file import Problem, parse_config, read_text
from mini_llm.deployment import HOUSE_PARTNER, MAX_PARTNER_ID
from mini_llm.errors import ConfigError
from mini_llm.price import parse_usd
from mini_llm.retail import has_fee, has_price
from mini_llm.routing.build import routing_problems
from mini_llm.wallet.address import checksummed
from mini_llm.wallet.limits import BPS
from mini_llm.wallet.receipt import InvalidReceipt, ReceiptDomain
from mini_llm.wallet.signature import signing_address
from router.config_conductor import ConductorConfig
from router.config_learning import RouterAuto
from router.config_money import DEFAULT_TIERS, Bps, HangUp, Idx, Policy, Promotion, Rewards, Tier, no_chain
from router.config_people import PeopleSettings, load_people
from router.config_relay import Relay, X402Config
from router.errors import LosesMoney, SplitExceedsCharge, TiersOutOfOrder
from router.mirror.standing import Weighing
from router.operating import Operating, load_operating
from router.rate import Rated

DEFAULT_MAX_BODY_BYTES: Final = 4 * 2**20
DEFAULT_LEASE_S: Final = 60


class Partner(Strict):
    """A model provider that earns `bps` of its charges; `id` as in the PartnerRegistry."""

    id: Annotated[int, Field(gt=HOUSE_PARTNER, le=MAX_PARTNER_ID)]
    name: Name
    bps: Bps
    accounts: tuple[Idx, ...] = ()
    """Its own accounts: their calls to it count for no tier."""


class RouterConfig(Rated, RoutingConfig):
    """The configuration file."""

    relay: Relay | None = None
    x402: X402Config | None = None
    auto: RouterAuto = RouterAuto()

    policy: Policy = Policy()
    partners: tuple[Partner, ...] = ()
    tiers: tuple[Tier, ...] = ()
    promotion: Promotion | None = None
    hang_up: HangUp = HangUp()
    rewards: Rewards = Rewards()
    conductor: ConductorConfig = ConductorConfig()

    @property
    def offered_tiers(self) -> tuple[Tier, ...]:
        """The tiers from the dearest to the cheapest; the first is everybody's."""
        default = tuple(tier for tier in DEFAULT_TIERS if tier.pays(self.policy))
        return self.tiers or default or DEFAULT_TIERS[:1]  # the first may lose money too: then it is refused

    @property
    def weighing(self) -> Weighing:
        """What outcomes of calls count."""
        return self.auto.learning.weighing(self.vibes_per_usd)

    def partner_bps(self, partner_id: int) -> int:
        """The share of a partner, 0 for the house."""
        return next((partner.bps for partner in self.partners if partner.id == partner_id), 0)


@dataclass(frozen=True)
class Settings:
    """All that the router is told.

    Attributes:
        config: providers, deployments, partners and policy, as the file said at the start.
        config_path: the file, which may change.
        environ: the environment at the start: references of a changed file are looked up there.
        ledger_url: SQLAlchemy URL of the ledger.
        domain: chain and settlement contract that receipts and ceilings are for.
        receipt_key: 32-byte secp256k1 key that signs receipts.
        max_body_bytes: longest request body.
        lease_s: how long a reservation outlives its worker.
        answers_s: how long sealed answers are kept for replays; None keeps them unsealed until erased.
        operating: limits, drain, hosts, proxies.
        people: sign-in and sealed keys.
        relay_key: 32-byte key of the wallet that sends what others signed to the chain, None without one.
    """

    config: RouterConfig
    config_path: Path
    environ: Mapping[str, str] = field(repr=False)
    ledger_url: str
    domain: ReceiptDomain
    receipt_key: bytes = field(repr=False)
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    lease_s: int = DEFAULT_LEASE_S
    answers_s: int | None = None
    operating: Operating = field(default_factory=Operating)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    relay_key: bytes | None = field(default=None, repr=False)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the settings from the environment and the file that it names.

    Needed: `VIBES_CONFIG`, `VIBES_LEDGER_URL`, `VIBES_RECEIPT_KEY_FILE`, and `VIBES_CHAIN_ID` and
    `VIBES_SETTLEMENT` or `VIBES_CREDIT_ONLY`. Optional: `VIBES_MAX_BODY_BYTES`, `VIBES_LEASE_S`,
    `VIBES_ANSWERS_S`.

    Raises:
        ConfigError: a variable or a value of the file is missing or unusable, or the policy loses money.
    """
    path = Path(_required(environ, "VIBES_CONFIG"))
    config = load_router_config(path, environ)
    check_economics(config)
    if no_chain(environ) is not None and config.relay is not None:
        raise ConfigError("relay", "needs a chain, and VIBES_CREDIT_ONLY says that there is none")
    return Settings(
        config=config,
        config_path=path,
        environ=dict(environ),
        ledger_url=load_ledger_url(environ),
        domain=load_domain(environ),
        receipt_key=_read_key("VIBES_RECEIPT_KEY_FILE", Path(_required(environ, "VIBES_RECEIPT_KEY_FILE"))),
        max_body_bytes=_integer(environ, "VIBES_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES),
        lease_s=_integer(environ, "VIBES_LEASE_S", DEFAULT_LEASE_S),
        answers_s=_integer(environ, "VIBES_ANSWERS_S") if environ.get("VIBES_ANSWERS_S") else None,
        operating=load_operating(environ),
        people=load_people(environ),
        relay_key=_relay_key(config),
    )


def load_domain(environ: Mapping[str, str]) -> ReceiptDomain:
    """Where receipts are valid: `VIBES_CHAIN_ID` and `VIBES_SETTLEMENT`, or nowhere but here with
    `VIBES_CREDIT_ONLY`.

    Raises:
        ConfigError: one is missing or unusable, or does not go with another.
    """
    if (nowhere := no_chain(environ)) is not None:
        return nowhere
    try:
        return ReceiptDomain(_integer(environ, "VIBES_CHAIN_ID"), _required(environ, "VIBES_SETTLEMENT"))
    except InvalidReceipt as error:
        raise ConfigError("VIBES_SETTLEMENT", error.reason) from None


def receipt_signers(environ: Mapping[str, str], named: Iterable[str]) -> frozenset[str]:
    """Checksum addresses that receipts may be signed by: those named, and of the router's own key if known.

    Args:
        environ: names the key's file in `VIBES_RECEIPT_KEY_FILE`, if it is known.
        named: addresses.

    Raises:
        ConfigError: the file cannot be used, or one is no address.
    """
    signers = set()
    if name := environ.get("VIBES_RECEIPT_KEY_FILE"):
        signers.add(signing_address(_read_key("VIBES_RECEIPT_KEY_FILE", Path(name))))
    for text in named:
        if (address := checksummed(text)) is None:
            raise ConfigError("--signer", f"{text!r} is not an address")
        signers.add(address)
    return frozenset(signers)


def load_router_config(path: Path, environ: Mapping[str, str], text: str | None = None) -> RouterConfig:
    """Reads the configuration file, JSON or TOML, and looks at how its parts fit together.

    With `text` it reads that, as if it were in the file.

    Raises:
        ConfigError: it, or the rate that it names a file for, cannot be read.
        ConfigErrors: everything that is wrong with it, with lines.
    """

    def problems(config: RouterConfig) -> Iterator[Problem]:
        yield from routing_problems(config, config.vibes_per_usd, environ)
        yield from _partner_problems(config)
        if config.x402 is not None and config.relay is None:
            yield ("x402",), 'payments need a wallet that sends them to the chain: add a "relay" section'
        yield from price_problems(config)

    text = read_text(path) if text is None else text
    return parse_config(path, text, RouterConfig, environ, problems).with_rate(time.time())


def _partner_problems(config: RouterConfig) -> Iterator[Problem]:
    ids = [partner.id for partner in config.partners]
    for position, partner_id in enumerate(ids):
        if partner_id in ids[:position]:
            yield ("partners", position, "id"), f"two partners have the same id {partner_id}"
    for position, deployment in enumerate(config.deployments):
        if deployment.partner not in (HOUSE_PARTNER, *ids):
            problem = f"model {deployment.model!r} names partner {deployment.partner}, not in partners"
            yield ("deployments", position, "partner"), problem


def price_problems(config: RouterConfig) -> Iterator[Problem]:
    """Deployments that would be sold for nothing, or too little, because nobody said what they cost."""
    for position, item in enumerate(config.deployments):
        provider = config.providers.get(item.provider)
        if provider is None or provider.type == "local":
            continue
        if not has_price(item, provider):
            why = f"no price is named and no retail price of {item.model!r} is known"
        elif has_fee(item, provider):
            why = f"the provider bills a fee for each call of {item.model!r} beside its tokens"
        else:
            continue
        prices = 'prompt_usd_per_mtok and completion_usd_per_mtok ("0" for a free model)'
        yield ("deployments", position, "model"), f"{why}: write {prices}"


def load_ledger_url(environ: Mapping[str, str]) -> str:
    """Reads `VIBES_LEDGER_URL` alone, for commands that need nothing else.

    Raises:
        ConfigError: it is not set.
    """
    return _required(environ, "VIBES_LEDGER_URL")


def check_economics(config: RouterConfig) -> None:
    """Refuses a split that takes more than the charge, or leaves less of it than the provider bills.

    The rule `charge x (fee + treasury + partner share) >= wholesale`, for each tier with the house and each
    partner. A tier that does not hold it needs a subsidy.

    Raises:
        SplitExceedsCharge: the shares sum to more than 10000 bps.
        LosesMoney: the rule does not hold.
        TiersOutOfOrder: the tiers do not go from everybody's to the cheapest.
    """
    policy = config.policy
    names = {HOUSE_PARTNER: "house"} | {partner.id: partner.name for partner in config.partners}
    for partner_id, name in names.items():
        partner_bps = config.partner_bps(partner_id)
        taken_bps = partner_bps + policy.fee_bps + policy.burn_bps + policy.pool_bps
        if taken_bps > BPS:
            raise SplitExceedsCharge(name, taken_bps)
        for tier in config.offered_tiers:
            if not tier.pays(policy) and tier.subsidy is None:
                raise LosesMoney(name, tier.name, tier.rate_bps, policy.kept_bps, policy.wholesale_bps)
    tiers = config.offered_tiers
    margins = [parse_usd(tier.margin_usd) for tier in tiers]
    rates = [tier.rate_bps for tier in tiers]
    ladder = margins == sorted(set(margins)) and rates == sorted(rates, reverse=True)
    if margins[0] or tiers[0].subsidy or not ladder:
        raise TiersOutOfOrder


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


def _read_key(name: str, path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip().removeprefix("0x"))
    except OSError as error:
        raise ConfigError(name, f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        key = b""
    if len(key) != 32 or not any(key):
        raise ConfigError(name, f"{path} does not hold a private key: 0x and 64 hex digits")
    return key


def _relay_key(config: RouterConfig) -> bytes | None:
    if config.relay is None:
        return None
    return _read_key("relay.key_file", config.relay.key_file)

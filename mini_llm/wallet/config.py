"""What an app is told about its wallet: where it pays, with what, and how much at most."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from mini_llm.config import ProviderConfig
from mini_llm.config_base import ApiUrl, Key, Strict, Usd
from mini_llm.price import parse_usd
from mini_llm.wallet.limits import BASE_PER_USD, MAX_IDX

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]

MAX_STEP_USD = Decimal(1)
"""No signature allows more than this beyond what the call at hand needs."""


class WalletConfig(Strict):
    """The wallet: who is asked when no provider is set up, or all of them fail."""

    type: Literal["vibes", "passy", "custom"] = "vibes"
    """``vibes``: a router of this protocol. The others: an OpenAI-compatible address, paid by its key."""
    endpoint: ApiUrl | None = None
    """The router's address, with or without ``/v1`` at its end."""
    api_key: Key | None = None
    """What ``mini-llm login`` was given."""
    key_id: str | None = None
    """The router's name for that key, for revoking it."""
    account: Annotated[int, Field(ge=1, le=MAX_IDX)] | None = None
    """Number of the account that the key spends from."""
    chain_id: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """Chain of the settlement contract: nothing is signed for another one."""
    settlement: Address | None = None
    """Address of the settlement contract."""
    rpc_url: SecretStr | None = None
    """A node of the chain, for deposits, withdrawals and balances."""
    receipt_signer: Address | None = None
    """Whose signature makes a receipt valid; without it the first receipt's signer is remembered."""
    session_key: SecretStr | None = None
    """Secret of a session key of one's own, 0x and hex digits: spending ceilings are then signed here."""
    daily_cap_usd: Usd | None = None
    """Most that may be spent in one UTC day with that session key, at par."""
    step_usd: Usd = "1"
    """Most that one signature allows beyond what the call at hand needs."""
    token_tolerance_percent: Annotated[int, Field(ge=0, le=1000)] = 50
    """How far a receipt's token counts may be above one's own count, beside a small fixed allowance."""
    require_receipts: bool | None = None
    """An answer that cost something and has no valid receipt is an error; by default with a session key."""

    book: Path | None = None
    """File that remembers receipts, ceilings and the day's limit; ``wallet.db`` beside the settings."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not 0 < parse_usd(self.step_usd) <= MAX_STEP_USD:
            raise ValueError(f"step_usd is above 0 and at most {MAX_STEP_USD}")
        if self.session_key is not None and self.daily_cap_usd is None:
            raise ValueError("session_key needs daily_cap_usd: the most that may be spent in one day")
        if self.type == "custom" and self.endpoint is None:
            raise ValueError("a custom wallet needs an endpoint")
        return self

    @property
    def base_url(self) -> str | None:
        """The address of the API, ending in ``/v1``; None if no endpoint is named."""
        if self.endpoint is None:
            return None
        url = str(self.endpoint).rstrip("/")
        return url if url.endswith("/v1") else f"{url}/v1"

    @property
    def as_provider(self) -> ProviderConfig | None:
        """Its router for who only wants to know what it lists; None without an address and a key."""
        if self.base_url is None or self.api_key is None:
            return None
        return ProviderConfig.model_validate({"base_url": self.base_url, "api_key": self.api_key})

    @property
    def daily_cap_base(self) -> int | None:
        """``daily_cap_usd`` in base units, rounded down."""
        return None if self.daily_cap_usd is None else usd_base(self.daily_cap_usd)

    @property
    def step_base(self) -> int:
        """``step_usd`` in base units, rounded down."""
        return usd_base(self.step_usd)

    @property
    def receipts_required(self) -> bool:
        """``require_receipts`` with its default."""
        return self.session_key is not None if self.require_receipts is None else self.require_receipts


def usd_base(text: str) -> int:
    """US dollars at par as base units, rounded down.

    Raises:
        ValueError: not a plain decimal.
    """
    return int(parse_usd(text) * BASE_PER_USD)

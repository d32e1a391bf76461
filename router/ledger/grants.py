"""What an API key may be used for, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from router.ledger.errors import InvalidGrant

MAX_MODELS: Final = 100
MAX_MODEL_NAME: Final = 200
MAX_RATE: Final = 10**9
LAST_S: Final = 253_402_300_799
"""The last second of the year 9999, unix seconds: calendars of most programs go no further."""


class Scope:
    """What a key may be used for."""

    CHAT: Final = "chat"  # every surface that generates, and quotes of them
    EMBEDDINGS: Final = "embeddings"
    MODELS: Final = "models"  # the list of models
    ACCOUNT_READ: Final = "account:read"  # balance, usage, receipts
    ACCOUNT_WRITE: Final = "account:write"  # signed ceilings
    KEYS_READ: Final = "keys:read"
    KEYS_WRITE: Final = "keys:write"
    PROVIDERS_WRITE: Final = "providers:write"  # the user's own provider keys


ALL_SCOPES: Final = frozenset(value for name, value in vars(Scope).items() if name.isupper())
MANAGING: Final = frozenset({Scope.KEYS_WRITE, Scope.PROVIDERS_WRITE})
"""What decides who may spend and with whose keys: not for a secret that a newer one replaced."""
DEFAULT_SCOPES: Final = ALL_SCOPES - MANAGING
"""A key that an app carries about can call and look, but makes no keys."""


@dataclass(frozen=True)
class Grant:
    """What a key may do; None does not limit.

    Attributes:
        scopes: of `Scope`.
        models: model names, each exact or ending in `*`.
        day_limit_base: most that its calls may cost in one UTC day, base units.
        month_limit_base: the same for a UTC month.
        auto_day_base: budget of its calls to `auto` for a UTC day, base units: none is exceeded, and it is
            spent where quality gains most.
        auto_month_base: the same for a UTC month.
        requests_per_minute: calls begun in any 60 seconds.
        tokens_per_minute: tokens read and written in any 60 seconds.
        parallel: calls at one time.
        expires_s: unix seconds from which on it does not work.

    Raises:
        InvalidGrant: an unknown scope, or a limit out of its range.
    """

    scopes: frozenset[str] = DEFAULT_SCOPES
    models: tuple[str, ...] | None = None
    day_limit_base: int | None = None
    month_limit_base: int | None = None
    auto_day_base: int | None = None
    auto_month_base: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel: int | None = None
    expires_s: int | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(self.scopes - ALL_SCOPES):
            raise InvalidGrant("scopes", f"{unknown[0]!r} is none of {', '.join(sorted(ALL_SCOPES))}")
        if self.models is not None and not (
            0 < len(self.models) <= MAX_MODELS and all(_is_pattern(name) for name in self.models)
        ):
            raise InvalidGrant("models", f"1 to {MAX_MODELS} names, each exact or ending in one *")
        for name, least, most in (
            ("day_limit_base", 0, MAX_AMOUNT_BASE),
            ("month_limit_base", 0, MAX_AMOUNT_BASE),
            ("auto_day_base", 1, MAX_AMOUNT_BASE),
            ("auto_month_base", 1, MAX_AMOUNT_BASE),
            ("requests_per_minute", 1, MAX_RATE),
            ("tokens_per_minute", 1, MAX_RATE),
            ("parallel", 1, MAX_RATE),
            ("expires_s", 1, MAX_AMOUNT_BASE),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InvalidGrant(name, f"{value} is not in {least} … {most}")


def _is_pattern(name: str) -> bool:
    return 0 < len(name) <= MAX_MODEL_NAME and name.isprintable() and "*" not in name[:-1]

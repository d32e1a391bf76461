"""How refusals to people look over HTTP; `router.api.errors` takes them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.api.answer import INVALID, UPSTREAM, ErrorAnswer
from router.ledger import errors as books
from router.people import errors as people
from router.people.vault import Unsealable

RATE: Final = "rate_limit_error"
PERMISSION: Final = "permission_error"


def _limited(error: people.RateLimited) -> ErrorAnswer:
    after = {} if error.retry_s is None else {"retry-after": str(error.retry_s)}
    return ErrorAnswer(429, RATE, f"{error.what}_limit", str(error), headers=error.headers | after)


def _over_budget(error: books.BudgetExceeded) -> ErrorAnswer:
    message = (
        f"A spending limit of {error.limit_base} base units leaves {error.left_base}"
        f"; this call may cost {error.needed_base}."
    )
    values = {"limit": error.code, "limit_base": str(error.limit_base), "left_base": str(error.left_base)}
    return ErrorAnswer(
        402,
        "insufficient_quota",
        "spending_limit",
        message,
        values=values | {"needed_base": str(error.needed_base)},
    )


def _refusal(status: int, code: str, type_: str = INVALID) -> Callable[[Any], ErrorAnswer]:
    return lambda error: ErrorAnswer(status, type_, code, str(error))


def _field(error: people.BadInput | books.InvalidGrant) -> ErrorAnswer:
    return ErrorAnswer(400, INVALID, "invalid_field", str(error), error.field)


ANSWERS: Final[dict[type[Exception], Callable[[Any], ErrorAnswer]]] = {
    people.SignInRefused: _refusal(401, "sign_in_refused"),
    people.WalletRefused: _refusal(403, "wallet_refused", PERMISSION),
    people.ScreeningUnavailable: _refusal(503, "screening_unavailable", UPSTREAM),
    people.SignInOff: _refusal(404, "sign_in_off"),
    people.ForeignForm: _refusal(403, "foreign_form", PERMISSION),
    people.FormUsed: _refusal(409, "form_used"),
    people.ChainUnavailable: _refusal(503, "chain_unavailable", UPSTREAM),
    people.NoAccount: _refusal(403, "no_account", PERMISSION),
    people.NotYours: _refusal(404, "not_found"),
    people.NeedsWallet: _refusal(403, "needs_wallet", PERMISSION),
    people.ScopeMissing: _refusal(403, "scope_missing", PERMISSION),
    people.SecretRetired: _refusal(403, "secret_retired", PERMISSION),
    people.ModelNotAllowed: lambda e: ErrorAnswer(403, PERMISSION, "model_not_allowed", str(e), "model"),
    people.RoleMissing: _refusal(403, "role_missing", PERMISSION),
    people.TeamRule: _refusal(409, "team_rule"),
    people.Escalation: _refusal(403, "escalation", PERMISSION),
    people.RateLimited: _limited,
    people.EndpointRefused: lambda e: ErrorAnswer(400, INVALID, "endpoint_refused", str(e), "base_url"),
    people.OwnKeyRefused: _refusal(403, "provider_key_refused", PERMISSION),
    people.UnknownUserCode: lambda e: ErrorAnswer(404, INVALID, "unknown_user_code", str(e), "user_code"),
    people.TooOften: lambda e: ErrorAnswer(
        429, RATE, "too_often", str(e), headers={"retry-after": str(e.wait_s)}
    ),
    people.TooManyCodes: lambda e: ErrorAnswer(
        429, RATE, "too_many_codes", str(e), headers={"retry-after": str(e.wait_s)}
    ),
    people.SealingOff: _refusal(404, "sealing_off"),
    people.BadInput: _field,
    Unsealable: lambda _: ErrorAnswer(
        503, "server_error", "unsealable", "A key kept for you cannot be opened now: ask the operator."
    ),
    books.InvalidGrant: _field,
    books.UnknownKey: lambda _: ErrorAnswer(404, INVALID, "not_found", "you have no such API key"),
    books.UnknownAccount: lambda _: ErrorAnswer(404, INVALID, "not_found", "you have no such account"),
    books.BudgetExceeded: _over_budget,
}

"""How refusals to people look over HTTP; `router.api.errors` takes them up."""

from __future__ import annotations

from typing import Final

from mini_llm.surfaces.base import INVALID, UPSTREAM, WireError
from router.api.answer import PERMISSION, RATE, SERVER, Row, refusal, too_often
from router.ledger import errors as books
from router.people import errors as people
from router.people.vault import Unsealable


def _limited(error: people.RateLimited) -> WireError:
    after = {} if error.retry_s is None else {"retry-after": str(error.retry_s)}
    return WireError(429, RATE, f"{error.what}_limit", str(error), headers=error.headers | after)


def _over_budget(error: books.BudgetExceeded) -> WireError:
    message = (
        f"A spending limit of {error.limit_base} base units leaves {error.left_base}"
        f"; this call may cost {error.needed_base}."
    )
    values = {"limit": error.code, "limit_base": str(error.limit_base), "left_base": str(error.left_base)}
    return WireError(
        402,
        "insufficient_quota",
        "spending_limit",
        message,
        values=values | {"needed_base": str(error.needed_base)},
    )


def _field(error: people.BadInput | books.InvalidGrant) -> WireError:
    return WireError(400, INVALID, "invalid_field", str(error), error.field)


ANSWERS: Final[dict[type[Exception], Row]] = {
    people.SignInRefused: refusal(401, "sign_in_refused"),
    people.WalletRefused: refusal(403, "wallet_refused", PERMISSION),
    people.ScreeningUnavailable: refusal(503, "screening_unavailable", UPSTREAM),
    people.SignInOff: refusal(404, "sign_in_off"),
    people.ForeignForm: refusal(403, "foreign_form", PERMISSION),
    people.FormUsed: refusal(409, "form_used"),
    people.ChainUnavailable: refusal(503, "chain_unavailable", UPSTREAM),
    people.NoAccount: refusal(403, "no_account", PERMISSION),
    people.NotYours: refusal(404, "not_found"),
    people.NeedsWallet: refusal(403, "needs_wallet", PERMISSION),
    people.ScopeMissing: refusal(403, "scope_missing", PERMISSION),
    people.SecretRetired: refusal(403, "secret_retired", PERMISSION),
    people.ModelNotAllowed: refusal(403, "model_not_allowed", PERMISSION, "model"),
    people.RoleMissing: refusal(403, "role_missing", PERMISSION),
    people.TeamRule: refusal(409, "team_rule"),
    people.Escalation: refusal(403, "escalation", PERMISSION),
    people.RateLimited: _limited,
    people.EndpointRefused: refusal(400, "endpoint_refused", param="base_url"),
    people.OwnKeyRefused: refusal(403, "provider_key_refused", PERMISSION),
    people.UnknownUserCode: refusal(404, "unknown_user_code", param="user_code"),
    people.TooOften: too_often("too_often"),
    people.TooManyCodes: too_often("too_many_codes"),
    people.SealingOff: refusal(404, "sealing_off"),
    people.BadInput: _field,
    Unsealable: lambda _: WireError(
        503, SERVER, "unsealable", "A key kept for you cannot be opened now: ask the operator."
    ),
    books.InvalidGrant: _field,
    books.UnknownKey: lambda _: WireError(404, INVALID, "not_found", "you have no such API key"),
    books.UnknownAccount: lambda _: WireError(404, INVALID, "not_found", "you have no such account"),
    books.BudgetExceeded: _over_budget,
}

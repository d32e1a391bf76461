"""What is refused to people, and why."""

from __future__ import annotations

from router.errors import GatewayError


class SignInRefused(GatewayError):
    """A wallet's message or signature does not open a session."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"sign-in refused: {reason}")
        self.reason = reason


class WalletRefused(GatewayError):
    """The operator's screening refuses a wallet; `moment` is what it wanted to do."""

    def __init__(self, moment: str) -> None:
        super().__init__(
            "the operator does not serve this wallet; "
            "what it has in the contract can be withdrawn without the operator"
        )
        self.moment = moment


class ScreeningUnavailable(GatewayError):
    """Nobody can tell now whether a wallet may be served."""

    def __init__(self) -> None:
        super().__init__("the operator's screening of wallets does not answer: try again later")


class SignInOff(GatewayError):
    """The operator has not said under which address the router is reached."""

    def __init__(self) -> None:
        super().__init__("signing in is not set up: the operator sets VIBES_PUBLIC_URL")


class ForeignForm(GatewayError):
    """A form that another site, or no page at all, sent."""

    def __init__(self) -> None:
        super().__init__("this did not come from a page of this router: open the page here and try again")


class FormUsed(GatewayError):
    """A form whose answer was reloaded, or that was sent twice."""

    def __init__(self) -> None:
        super().__init__("this form was sent before, and what it asked for was done then, once")


class ChainUnavailable(GatewayError):
    """A contract wallet cannot be checked now."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the wallet's contract could not be asked: {reason}")
        self.reason = reason


class NoAccount(GatewayError):
    """The signed-in wallet owns no account yet."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} has no account yet: deposit first, GET /v1/signin/deposit tells how")
        self.address = address


class NotYours(GatewayError):
    """There is no such thing, or it is somebody else's: the answer does not tell which."""

    def __init__(self, what: str) -> None:
        super().__init__(f"you have no such {what}")
        self.what = what


class NeedsWallet(GatewayError):
    """An API key tried what only a signed-in wallet may."""

    def __init__(self) -> None:
        super().__init__("this needs a signed-in wallet; an API key is not enough")


class ScopeMissing(GatewayError):
    """The API key was not made for this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this API key has no scope {scope!r}")
        self.scope = scope


class SecretRetired(GatewayError):
    """The key's secret was replaced by a newer one; until it stops it may call, and manage nothing."""

    def __init__(self) -> None:
        super().__init__(
            "this secret was replaced by a newer one: until it stops it may make calls, but manage nothing"
        )


class ModelNotAllowed(GatewayError):
    """The API key may not call this model."""

    def __init__(self, model: str) -> None:
        super().__init__(f"this API key may not call the model {model!r}")
        self.model = model


class RoleMissing(GatewayError):
    """A member's role does not allow this."""

    def __init__(self, role: str, needed: str) -> None:
        super().__init__(f"your role in this team is {role}; this needs {needed}")
        self.role, self.needed = role, needed


class TeamRule(GatewayError):
    """A change that would leave the team in no sound state."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Escalation(GatewayError):
    """A key may not make, renew or revoke a key that may do more than itself."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"this API key may not do that: {reason}")
        self.reason = reason


class RateLimited(GatewayError):
    """A limit of the key is reached.

    Attributes:
        what: `requests`, `tokens` or `parallel`.
        limit: as the key has it.
        retry_s: when to try again, seconds; None if the call is too large for the limit at any time.
        headers: `x-ratelimit-…` as they stand.
    """

    def __init__(self, what: str, limit: int, retry_s: int | None, headers: dict[str, str]) -> None:
        words = {"requests": "requests a minute", "tokens": "tokens a minute", "parallel": "parallel calls"}
        super().__init__(f"this API key may make {limit} {words[what]}")
        self.what, self.limit, self.retry_s, self.headers = what, limit, retry_s, headers


class EndpointRefused(GatewayError):
    """A user's own endpoint that the router does not connect to."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"base_url: {reason}")
        self.reason = reason


class OwnKeyRefused(GatewayError):
    """The provider refuses the user's own key, or the account behind it.

    Attributes:
        provider: its name in the configuration.
        status: what it answered: 401, 402 or 403.
    """

    def __init__(self, provider: str, status: int) -> None:
        super().__init__(
            f"the provider {provider!r} refused your own key with status {status}, nothing was charged: "
            f"put another one to /v1/provider-keys/{provider}, or delete it"
        )
        self.provider, self.status = provider, status


class SealingOff(GatewayError):
    """There is no master key, so nothing can be kept sealed."""

    def __init__(self) -> None:
        super().__init__("keys are not kept here: the operator sets VIBES_MASTER_KEY")


class BadInput(GatewayError):
    """A field of a request body is missing or out of its range."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class UnknownUserCode(GatewayError):
    """No login of a device waits for this code."""

    def __init__(self) -> None:
        super().__init__("no login waits for this code: it is mistyped, too old, or was used")


class TooOften(GatewayError):
    """A network asks too often for what costs the router something; `wait_s` seconds until it may again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__("too many requests of this kind come from your address: try again later")
        self.wait_s = wait_s


class TooManyCodes(GatewayError):
    """The wallet typed too many wrong user codes; ``wait_s`` seconds until it may try again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__("too many wrong codes: wait, and look at the code on the device again")
        self.wait_s = wait_s

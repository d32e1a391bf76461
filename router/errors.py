"""The gateway's own typed errors; how they look over HTTP is said in `router.api.errors`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mini_llm.errors import ConfigError


class GatewayError(Exception):
    """A call that the gateway itself refuses."""


class UnknownApiKey(GatewayError):
    """No API key, or one that was never made or has been revoked."""

    def __init__(self) -> None:
        super().__init__("no valid API key in the Authorization, x-api-key or x-goog-api-key header")


class AccountCannotPay(GatewayError):
    """The account cannot pay for a call, told to a caller who may not see what it has.

    Attributes:
        needed_base: what the call may cost, base units; None if no call is served at present.
    """

    def __init__(self, needed_base: int | None) -> None:
        super().__init__("the account cannot pay for this call")
        self.needed_base = needed_base


class StaleRate(GatewayError):
    """The rate of VIBES and USD is too old to quote anything at it."""

    def __init__(self) -> None:
        super().__init__("the rate of VIBES and USD is out of date, so nothing is quoted: try again later")


class ClientGone(GatewayError):
    """The client left before the provider generated anything."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection")


class BodyTooLarge(GatewayError):
    """The request body exceeds `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the request body is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class BadIdempotencyKey(GatewayError):
    """The Idempotency-Key header is empty, longer than `limit` characters, or not printable ASCII."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Idempotency-Key must be 1 to {limit} printable ASCII characters")
        self.limit = limit


class AnswerGone(GatewayError):
    """The call with this idempotency key was done and charged; its answer is no longer kept."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"call {request_id} with this idempotency key was answered; the answer is no longer kept"
        )
        self.request_id = request_id


class UnknownReceipt(GatewayError):
    """The account has no receipt for that request."""

    def __init__(self) -> None:
        super().__init__("this account has no receipt with that request id")


class UnknownPartner(GatewayError):
    """No partner with this number is known."""

    def __init__(self, partner_id: int) -> None:
        super().__init__(f"There is no partner {partner_id}, or the bridge has not told of it yet.")
        self.partner_id = partner_id


class UnknownBundle(GatewayError):
    """No such batch has settled a charge of the partner."""

    def __init__(self, partner_id: int, number: int) -> None:
        super().__init__(f"Batch {number} has settled nothing for partner {partner_id}.")
        self.partner_id, self.number = partner_id, number


class WrongAccount(GatewayError):
    """A signed ceiling names another account than the API key's."""

    def __init__(self, named: int, own: int) -> None:
        super().__init__(f"the ceiling is for account {named}; this API key belongs to account {own}")
        self.named, self.own = named, own


class Draining(GatewayError):
    """The router is stopping and takes no more requests."""

    def __init__(self) -> None:
        super().__init__("this router is stopping: send the request again, to another one or in a moment")


class NulCharacter(GatewayError):
    """An address or a body holds the character NUL, which no database keeps in a text."""

    def __init__(self) -> None:
        super().__init__("the address or the body holds a NUL character")


class TooManyHeaders(GatewayError):
    """The request has more than `limit` headers."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request has more than {limit} headers")
        self.limit = limit


class RepeatedHeader(GatewayError):
    """A header that says who asks, whom or what came twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the header {name} came more than once")
        self.name = name


class EncodedBody(GatewayError):
    """The body came with a Content-Encoding."""

    def __init__(self) -> None:
        super().__init__("compressed request bodies are not read: send it without Content-Encoding")


class NoHost(GatewayError):
    """A request of HTTP/1.1 without the header that it must have."""

    def __init__(self) -> None:
        super().__init__("the request has no Host header")


class UnknownHost(GatewayError):
    """The Host header names none of the hosts that the operator listed."""

    def __init__(self) -> None:
        super().__init__("this router does not serve the host that the request names")


class UnknownAdminKey(GatewayError):
    """No operator's key, or a wrong one."""

    def __init__(self) -> None:
        super().__init__("no valid operator's key in the Authorization header")


class TooManyWrongKeys(GatewayError):
    """The address sent too many wrong keys; the right one has to wait `wait_s` seconds, too."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many wrong keys from this address: wait {wait_s} s")
        self.wait_s = wait_s


class StoppedByOperator(GatewayError):
    """An operator has stopped all new calls; `reason` is for operators, not for clients."""

    def __init__(self, reason: str) -> None:
        super().__init__("the operator has stopped new calls for now; nothing was charged. Try again later.")
        self.reason = reason


class FileChanged(GatewayError):
    """Somebody else has written the file since it was shown."""

    def __init__(self) -> None:
        super().__init__("the file has changed since you began to edit it: your text is not written")


class NotEditable(GatewayError):
    """The configuration file can not be shown or replaced on a page, for a `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the configuration file cannot be edited here: {reason}")
        self.reason = reason


class HoldsSecret(GatewayError):
    """A secret stands in the file itself; `places` are those, not what stands there."""

    def __init__(self, places: tuple[str, ...]) -> None:
        super().__init__(
            f"a secret stands in the text of the configuration ({', '.join(places)}), so it is not shown: "
            "put it into the environment or a file, and write ${NAME} or ${file:/path} in its place"
        )
        self.places = places


class NotReady(GatewayError):
    """The router cannot serve now; `reason` is for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotConfigured(GatewayError):
    """The configuration has no deployment, or no rollout, of this name; `known` are those that it has."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        super().__init__(f"there is no {kind} {name!r}; there is: {', '.join(self.known) or 'none'}")


class NeedsRestart(ConfigError):
    """A file changes what holds as long as the router runs; `names` are those settings."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names), "cannot change while the router runs: restart it")
        self.names = tuple(names)


class SplitExceedsCharge(ConfigError):
    """The shares of a charge sum to more than the charge."""

    def __init__(self, partner: str, total_bps: int) -> None:
        super().__init__(
            f"policy with partner {partner!r}",
            f"partner, fee, burn and pool take {total_bps} of 10000 bps: lower one of them",
        )
        self.partner, self.total_bps = partner, total_bps


class LosesMoney(ConfigError):
    """What stays of a charge does not pay the provider's wholesale bill."""

    def __init__(self, partner: str, tier: str, rate_bps: int, kept_bps: int, wholesale_bps: int) -> None:
        super().__init__(
            f"policy with partner {partner!r} in tier {tier!r}",
            f"fee + treasury + partner share keep {kept_bps} bps of a charge, which is {rate_bps} bps of "
            f"retail, and the wholesale bill is {wholesale_bps} bps of retail: each call would lose money; "
            "lower burn_bps, pool_bps or wholesale_bps, or name a subsidy for the tier",
        )
        self.partner, self.tier, self.rate_bps = partner, tier, rate_bps
        self.kept_bps, self.wholesale_bps = kept_bps, wholesale_bps


class TiersOutOfOrder(ConfigError):
    """The tiers are not a ladder."""

    def __init__(self) -> None:
        super().__init__(
            "tiers",
            "the first must be everybody's (margin 0, no subsidy), each next one cheaper for a higher margin",
        )

"""Typed errors of the routing core. They carry values, never keys, prompts or answers."""

from __future__ import annotations

from collections.abc import Mapping


class MiniLLMError(Exception):
    """Anything that this library raises on purpose."""


class ConfigError(MiniLLMError):
    """The configuration cannot be used.

    Attributes:
        where: file and dotted path of the offending value, such as ``vibes.json: deployments.0.provider``.
        problem: what is wrong with it and, where one is known, what to write instead.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where, self.problem = where, problem


class BadRequest(MiniLLMError):
    """A request that no provider could serve.

    Attributes:
        message: for the developer who sent it.
        param: the offending field, None if it is the body as a whole.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param = message, param


class UnknownModel(MiniLLMError):
    """No deployment serves the model; ``available`` names those that are served."""

    def __init__(self, model: str, available: tuple[str, ...]) -> None:
        super().__init__(f"model {model!r} is not served here; there is: {', '.join(available) or 'none'}")
        self.model, self.available = model, available


class NoneCanServe(MiniLLMError):
    """Deployments of the model exist and none can serve this request; ``reasons`` says why, by deployment."""

    def __init__(self, model: str, reasons: Mapping[str, str]) -> None:
        told = "; ".join(f"{deployment}: {reason}" for deployment, reason in reasons.items())
        super().__init__(f"no deployment of {model!r} can serve this request ({told})")
        self.model, self.reasons = model, dict(reasons)


class ProviderError(MiniLLMError):
    """The provider did not give a usable answer; ``provider`` is its configured name."""

    def __init__(self, provider: str, message: str) -> None:
        super().__init__(f"provider {provider!r} {message}")
        self.provider = provider


class UpstreamRefused(ProviderError):
    """The provider answered with an error.

    Attributes:
        status: HTTP status, or 0 for an error inside a stream that had begun with 200.
        detail: the provider's own words. They may quote the request: for its sender's eyes, never for a log.
        param: the field that the provider named, if any.
        code: the provider's error code, if any.
        retry_after: its Retry-After header as sent, if any.
    """

    def __init__(
        self,
        provider: str,
        status: int,
        detail: str = "",
        param: str | None = None,
        code: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(provider, f"answered with status {status}" if status else "broke off with an error")
        self.status, self.detail, self.param = status, detail, param
        self.code, self.retry_after = code, retry_after


class UpstreamTimeout(ProviderError):
    """The provider was silent for longer than ``seconds``."""

    def __init__(self, provider: str, seconds: float) -> None:
        super().__init__(provider, f"was silent for {seconds:g} s")
        self.seconds = seconds


class UpstreamUnreachable(ProviderError):
    """No connection to the provider, or it broke; ``reason`` is the kind of failure."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(provider, f"cannot be reached ({reason})")
        self.reason = reason


class UpstreamProtocolError(ProviderError):
    """The provider's answer is not what its protocol says; ``problem`` says where."""

    def __init__(self, provider: str, problem: str) -> None:
        super().__init__(provider, f"sent an unusable answer: {problem}")
        self.problem = problem


def refusal(provider: str, status: int, body: object, retry_after: str | None = None) -> UpstreamRefused:
    """Reads an error body: OpenAI's error object, or what other servers put in its place."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        error = {}

    def text(name: str) -> str | None:
        value = error.get(name)
        return value if isinstance(value, str) else None

    return UpstreamRefused(provider, status, text("message") or "", text("param"), text("code"), retry_after)

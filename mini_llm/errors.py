"""Typed errors of the routing core. They carry values, never keys, prompts or answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mini_llm.hops import Hop
    from mini_llm.price import Usage


class CopiedError(Exception):
    """An error that can be copied and pickled, whatever it is made of: a pool of processes hands it on."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Its message and its values, instead of what it was made of."""
        return _copied, (type(self), self.args), self.__dict__


def _copied(kind: type[CopiedError], args: tuple[Any, ...]) -> CopiedError:
    return kind.__new__(kind, *args)


class MiniLLMError(CopiedError):
    """Anything that this library raises on purpose.

    Attributes:
        hops: who was asked before a call failed, in order; empty for what is no call.
    """

    hops: tuple[Hop, ...] = ()


class NotSetUp(MiniLLMError):
    """There is neither a provider nor a wallet."""

    def __init__(self) -> None:
        super().__init__(
            "mini-llm is not set up. Either sign in with a wallet:\n"
            "    mini-llm login\n"
            "or use a provider of your own, by its key or its address:\n"
            "    export OPENAI_API_KEY=…        (or ANTHROPIC_API_KEY, GEMINI_API_KEY, …)\n"
            "    mini-llm providers add openai\n"
            "    mini-llm providers add custom --url http://localhost:8080"
        )


class ConfigError(MiniLLMError):
    """The configuration cannot be used.

    Attributes:
        where: file and dotted path of the offending value, such as ``vibes.json: deployments.0.provider``.
        problem: what is wrong with it and, where one is known, what to write instead.
        line: of the file, from 1; None if it is not known.
    """

    def __init__(self, where: str, problem: str, line: int | None = None) -> None:
        super().__init__(f"{where}: {problem}")
        self.where, self.problem, self.line = where, problem, line


class ConfigErrors(ConfigError):
    """Several things that are wrong with one configuration, told at once; ``errors`` has at least one."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors[0].where, errors[0].problem, errors[0].line)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


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
    """Deployments of the model exist and none can serve this request.

    Attributes:
        model: as asked for.
        reasons: why not, by deployment.
        retry_after_s: seconds until one may be able to; None if none ever will, so the request must change.
    """

    def __init__(self, model: str, reasons: Mapping[str, str], retry_after_s: float | None = None) -> None:
        told = "; ".join(f"{deployment}: {reason}" for deployment, reason in reasons.items())
        now = "" if retry_after_s is None else " now"
        super().__init__(f"no deployment of {model!r} can serve this request{now} ({told})")
        self.model, self.reasons, self.retry_after_s = model, dict(reasons), retry_after_s


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
        code: the provider's error code, if any, such as ``context_length_exceeded``.
        kind: the provider's class of errors, if it names one, such as ``overloaded_error``.
        retry_after: seconds until the provider wants to be asked again, if it says so.
        request_id: the provider's id of the call, for its support; safe to log.
    """

    def __init__(
        self,
        provider: str,
        status: int,
        detail: str = "",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        *,
        kind: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(provider, f"answered with status {status}" if status else "broke off with an error")
        self.status, self.detail, self.param = status, detail, param
        self.code, self.kind = code, kind
        self.retry_after, self.request_id = retry_after, request_id


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


class AnswerLost(UpstreamUnreachable):
    """The connection broke after a call that is paid had been sent: asking again could pay for it twice."""


class UpstreamProtocolError(ProviderError):
    """The provider's answer is not what its protocol says; ``problem`` says where."""

    def __init__(self, provider: str, problem: str) -> None:
        super().__init__(provider, f"sent an unusable answer: {problem}")
        self.problem = problem


class AnswerTooLarge(ProviderError):
    """The answer has more than ``limit_bytes``: it is what was asked for that is too much, not the provider's
    fault, and another provider's answer would be no shorter."""

    def __init__(self, provider: str, limit_bytes: int) -> None:
        super().__init__(provider, f"sent more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class StreamBrokeOff(ProviderError):
    """A stream ended in its middle; it is not begun again, since part of it has been delivered.

    Attributes:
        deployment: who was answering.
        pieces: pieces of text that had come.
        usage: tokens until then, counted here as far as the provider had not.
        cause: why.
    """

    def __init__(self, cause: ProviderError, deployment: str, pieces: int, usage: Usage) -> None:
        super().__init__(cause.provider, f"broke off after {pieces} pieces of its answer ({cause})")
        self.cause, self.deployment, self.pieces, self.usage = cause, deployment, pieces, usage


def no_json(provider: str) -> UpstreamProtocolError:
    """The error of an answer with a value in it that JSON cannot say, such as the infinity that 1e999 is."""
    return UpstreamProtocolError(provider, "its numbers are no JSON")


def refusal(
    provider: str,
    status: int,
    body: object,
    retry_after: float | None = None,
    request_id: str | None = None,
) -> UpstreamRefused:
    """Reads an error body: OpenAI's error object, or what other companies put in its place.

    Documented shapes: ``{"error": {...}}``, ``{"error": "text", "code"}``, ``{"message"}``, ``{"Message"}``,
    ``{"detail": "text" or [{"msg", "loc"}]}``, ``{"message": {"detail": [...]}}``, ``{"errors": [{"message",
    "code"}]}`` and, in a stream of Google, a list of one of these.
    """
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    outer = body if isinstance(body, dict) else {}
    inner = outer.get("error")
    if not inner and isinstance(outer.get("errors"), list) and outer["errors"]:
        inner = outer["errors"][0]
    error = inner if isinstance(inner, dict) else outer | ({"message": inner} if inner else {})
    message, where = _words(error.get("message") or error.get("detail") or error.get("Message"))
    return UpstreamRefused(
        provider,
        status,
        message,
        _text(error.get("param")) or where,
        _text(error.get("code")) or _text(error.get("reason")),
        retry_after,
        kind=_text(error.get("type")) or _text(error.get("status")),
        request_id=request_id or _text(outer.get("request_id")),
    )


def _words(said: object) -> tuple[str, str | None]:
    """An error's text, and the field it is about if it is a list of what failed to validate."""
    if isinstance(said, dict):
        said = said.get("detail") or said.get("error")
    if isinstance(said, list) and said and isinstance(said[0], dict):
        place = said[0].get("loc")
        where = ".".join(str(step) for step in place if step != "body") if isinstance(place, list) else None
        return _text(said[0].get("msg")) or "", where or None
    return _text(said) or "", None


def _text(value: object) -> str | None:
    """Words, or a number that stands for them; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None

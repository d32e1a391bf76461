"""What comes back from a provider: a whole answer, or the events of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mini_llm.price import Usage

if TYPE_CHECKING:  # who pays no receipts does not load what they are made of
    from mini_llm.wallet.receipt import SignedReceipt


@dataclass(frozen=True, slots=True)
class Billed:
    """What a provider says that it charged for a call; only the wallet's does.

    Attributes:
        charge_base: the charge, base units.
        receipt: its proof, None for a call that cost nothing.
    """

    charge_base: int
    receipt: SignedReceipt | None = None


class Completion(NamedTuple):
    """A whole answer.

    Attributes:
        body: the JSON in the format of the request's surface, as it came from the provider if it speaks that.
        usage: what the provider counted, None if it did not.
        upstream_id: the provider's id of the call, for its support.
        billed: what it charged, if it says so.
    """

    body: bytes
    usage: Usage | None
    upstream_id: str | None = None
    billed: Billed | None = None


@dataclass(slots=True)
class StreamEvent:
    """One server-sent event of an answer, or a run of them that say nothing but text. Nobody changes one.

    Not frozen: one is made for each read of a stream, and a frozen one costs three times as much.

    Attributes:
        raw: the events as they came, each with its closing blank line.
        usage: tokens of the call until here, if the event says so.
        pieces: pieces of text that it holds, counted once for each choice that goes on.
        text_bytes: UTF-8 length of that text; in a run that was not parsed, as its JSON spells it.
        finished: choices that end with this event.
        bare_usage: the event carries usage and nothing else.
        done: the end mark of the stream.
    """

    raw: bytes
    usage: Usage | None = None
    pieces: int = 0
    text_bytes: int = 0
    finished: int = 0
    bare_usage: bool = False
    done: bool = False

"""What the command line says to do about each kind of failure."""

from __future__ import annotations

import pytest

from mini_llm.cli.mending import told
from mini_llm.errors import (
    AnswerLost,
    MiniLLMError,
    NotSetUp,
    StreamBrokeOff,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from mini_llm.price import Usage

P = "home"


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (UpstreamRefused(P, 401), ["answered with status 401", "mini-llm providers add home"]),
        (UpstreamRefused(P, 402), ["answered with status 402", "no credit left"]),
        (UpstreamRefused(P, 403), ["answered with status 403", "mini-llm providers add home"]),
        (UpstreamRefused(P, 404), ["answered with status 404", "mini-llm models"]),
        (UpstreamRefused(P, 429), ["answered with status 429", "limit there is reached: wait, or ask"]),
        (UpstreamRefused(P, 429, retry_after=6.2), ["answered with status 429", "reached: wait 7 s, or"]),
        (UpstreamRefused(P, 500), ["answered with status 500", "try again later"]),
        (
            UpstreamRefused(P, 400, "not\nlike \x1b[31mthis"),
            ["answered with status 400", "it says: not like [31mthis", "another model may"],
        ),
        (UpstreamTimeout(P, 3), ["was silent for 3 s", "providers.home.read_timeout_s"]),
        (UpstreamUnreachable(P, "gaierror"), ["cannot be reached", "host name is not known"]),
        (UpstreamUnreachable(P, "ConnectionRefusedError"), ["cannot be reached", "nothing listens there"]),
        (UpstreamUnreachable(P, "InvalidHeader"), ["was not asked", "mini-llm providers add home"]),
        (UpstreamUnreachable(P, "Other"), ["cannot be reached (Other)", "mini-llm doctor"]),
        (AnswerLost(P, "EOFError"), ["cannot be reached (EOFError)", "may have been paid for"]),
        (
            StreamBrokeOff(UpstreamTimeout(P, 3), "home/m", 2, Usage(1, 2)),
            ["broke off after 2 pieces", "read_timeout_s"],
        ),
    ],
    ids=lambda one: str(one) if isinstance(one, MiniLLMError) else "",
)
def test_every_failure_says_what_to_do(error: MiniLLMError, lines: list[str]) -> None:
    said = told(error).splitlines()
    assert len(said) == len(lines)
    for line, words in zip(said, lines, strict=True):
        assert words in line


def test_what_is_said_in_full_already_stays_as_it_is() -> None:
    assert told(NotSetUp()) == str(NotSetUp())

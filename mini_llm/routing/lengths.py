"""How long a deployment's answers are, as far as its own answers tell."""

from __future__ import annotations

from typing import Final

KEPT: Final = 0.99
"""With each answer those before it weigh a hundredth less: about the last hundred have a say."""
PRIOR_ANSWERS: Final = 8
"""The configured length counts as much as so many answers."""
MOST_APART: Final = 8
"""The expectation stays within this factor of the configured length: nobody's odd calls move it beyond."""


class AnswerLength:
    """A mean of the tokens that answers had, shrunk towards what is configured."""

    __slots__ = ("_tokens", "_weight")

    def __init__(self) -> None:
        self._tokens = self._weight = 0.0

    def measured(self, tokens: int) -> None:
        """Takes the length of an answer that came to its own end."""
        self._tokens = self._tokens * KEPT + tokens
        self._weight = self._weight * KEPT + 1.0

    def expected(self, usual: int) -> int:
        """Tokens that the next answer is expected to have.

        Args:
            usual: what is configured, from 1 on.
        """
        mean = (self._tokens + PRIOR_ANSWERS * usual) / (self._weight + PRIOR_ANSWERS)
        return max(1, usual // MOST_APART, min(round(mean), usual * MOST_APART))

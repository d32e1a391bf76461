"""What routing tells whoever wants to know, such as metrics."""

from __future__ import annotations

import logging

from mini_llm.deployment import Deployment
from mini_llm.errors import MiniLLMError
from mini_llm.routing.plan import Candidate

log = logging.getLogger(__name__)


class Listener:
    """Is told of what happens to deployments; override what is wanted, and be quick."""

    def attempted(self, deployment: Deployment, outcome: str, seconds: float) -> None:
        """A deployment was asked; ``outcome`` is ``ok`` or the name of the error's type."""

    def stopped(self, deployment: Deployment, seconds: float) -> None:
        """A deployment was asked and stopped before it answered: another was faster, or the caller left."""

    def opened(self, deployment: Deployment, seconds: float) -> None:
        """A deployment is left alone for some seconds: it failed too often, or refused the operator's key."""


SILENT = Listener()


def left_alone(
    listener: Listener, candidate: Candidate, now_s: float, error: MiniLLMError, mend: str | None = None
) -> None:
    """Tells that an error has opened a deployment's breaker; ``mend`` is what the operator has to mend."""
    seconds = candidate.health.breaker.until_s - now_s
    listener.opened(candidate.deployment, seconds)
    log.log(
        logging.ERROR if mend else logging.WARNING,
        "deployment %s is left alone for %.0f s: %s (%s)",
        candidate.deployment.id,
        seconds,
        mend or "it fails too often",
        error,
    )

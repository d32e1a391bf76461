"""What an outside package writes: a company as a row, and a provider of its own making."""

from mini_llm.answer import Completion
from mini_llm.providers.base import Provider
from mini_llm.providers.company import Company
from mini_llm.surfaces.base import Dialect

ACME = Company(
    type="acme",
    title="Acme AI",
    source="https://docs.acme.example/api",
    url="https://api.acme.example/v2",
    key_variable="ACME_API_KEY",
    key_header="x-acme-key",
    key_prefix="",
    dialect=Dialect(cap_field="max_completion_tokens"),
)


class House(Provider):
    """Answers without asking anybody."""

    def __init__(self, name, config, http):
        self.name, self.surfaces = name, frozenset({"chat"})

    async def complete(self, request, deployment):
        body = b'{"choices": [{"index": 0, "message": {"content": "at home"}, "finish_reason": "stop"}]}'
        return Completion(body, None)

    async def open_stream(self, request, deployment):
        raise NotImplementedError


def house(name, config, http):
    return House(name, config, http)


def lazy(name, config, http):
    return "no provider"


def falls(name, config, http):
    raise KeyError("region")


ODD = 42

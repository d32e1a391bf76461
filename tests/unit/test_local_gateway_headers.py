"""Headers of the local gateway that name models."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from mini_llm.config_sdk import Settings
from mini_llm.engine import Engine
from mini_llm.server.app import LocalGateway
from mini_llm.transport import Timeouts, Transport, UpstreamResponse

ANSWER = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}'


class Answer(UpstreamResponse):
    def __init__(self) -> None:
        self.status, self._left = 200, [ANSWER, b""]

    def header(self, name: str) -> str | None:
        return None

    async def next_piece(self) -> bytes:
        return self._left.pop(0)

    async def aclose(self) -> None:
        pass


class Provider(Transport):
    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> UpstreamResponse:
        return Answer()

    async def aclose(self) -> None:
        pass


async def test_a_name_beyond_ascii_is_encoded_once() -> None:
    settings = Settings.model_validate(
        {
            "providers": {"home": {"base_url": "http://127.0.0.1:9/v1"}},
            "auto": {"models": ["modèle"]},
            "usage_log": False,
        }
    )
    app = LocalGateway(Engine(settings, transport=Provider()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        said = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post("/v1/chat/completions", json=said)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-mini-llm-deployment"] == "home/mod%C3%A8le"
    assert answer.headers["x-mini-llm-route"].startswith('"mod%C3%A8le";asked=')

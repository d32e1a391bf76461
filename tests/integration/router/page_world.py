"""A person's browser for pages without scripts: cookies, and forms with their origin."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
from people_world import PUBLIC_URL, Person, message, signed

OWN = {"origin": PUBLIC_URL}


def enter(person: Person, public_url: str) -> str:
    """Signs in as the page's script does, at a router of this public address; returns the session's token."""
    with httpx.Client(base_url=person.url.removesuffix("/v1"), timeout=30) as client:
        nonce = client.get("/v1/signin/nonce").json()["nonce"]
        text = message(person.address, nonce, domain=public_url.partition("//")[2], uri=public_url)
        sent = {"message": text, "signature": signed(person.wallet, text)}
        assert client.post("/signin", json=sent, headers={"origin": public_url}).status_code == 200
        return client.cookies["vibes_session"]


class Browser:
    """A person's browser: cookies, forms with their origin, no scripts."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.http = httpx.Client(
            base_url=person.url.removesuffix("/v1"), timeout=30, headers={"accept": "text/html"}
        )
        person.token = enter(person, PUBLIC_URL)
        self.http.cookies["vibes_session"] = person.token

    def get(self, path: str, status: int = 200) -> str:
        answer = self.http.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def form(self, path: str, **fields: Any) -> httpx.Response:
        return self.http.post(path, data=fields, headers=OWN)

    def sent(self, path: str, **fields: Any) -> str:
        """Sends a form that leads on, and goes there."""
        answer = self.form(path, **fields)
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["location"])


def text_of(page: str) -> str:
    """The words of a page."""
    main = page[page.index("<main") :]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", main)))


def number_of_form(page: str) -> str:
    found = re.search(r'name="form" value="([0-9a-f]{32})"', page)
    assert found is not None
    return found[1]


def made_key(browser: Browser, **fields: Any) -> tuple[str, str]:
    """Id and secret of a key that the page's form made."""
    page = browser.get("/wallet/keys")
    answer = browser.form("/wallet/keys", form=number_of_form(page), scope=["chat", "models"], **fields)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    secret = re.search(r"sk-vibes-[\w-]{20,}", answer.text)
    key_id = re.search(r"Id ([0-9a-f]{16})", answer.text)
    assert secret is not None
    assert key_id is not None
    assert answer.text.count(secret[0]) == 1
    assert "set-cookie" not in answer.headers
    return key_id[1], secret[0]

"""The wallet's pages by every kind of visitor: nobody sees or changes what is another's."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from page_world import OWN, Browser, made_key, number_of_form, text_of
from people_world import Person, Town, chat, make_town
from starlette.routing import Route

from router.web import site


@pytest.fixture(scope="module")
def place(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Town:
    return make_town(new_world, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def browser(place: Town) -> Iterator[Browser]:
    """Of somebody with money."""
    person = Person(place.url)
    person.user = place.world.user(owner=person.address)
    opened = Browser(person)
    yield opened
    opened.http.close()


def routes() -> list[tuple[str, str]]:
    return sorted(
        (method, route.path)
        for part in site.WALLET
        for route in part.routes
        if isinstance(route, Route)
        for method in (route.methods or ()) - {"HEAD"}
    )


class Scene:
    """A victim with one of everything."""

    def __init__(self, place: Town) -> None:
        self.victim = Person(place.url)
        self.victim.user = place.world.user(owner=self.victim.address)
        self.browser = Browser(self.victim)
        self.key_id, _ = made_key(self.browser, label="the victim's own key")
        page = self.browser.sent("/wallet/team", name="the victim's team")
        team = re.search(r'action="/wallet/team/(\d+)/member"', page)
        assert team is not None
        self.team = team[1]
        self.request_id = chat(self.victim, self.victim.token).headers["x-vibes-request-id"]

    def path(self, path: str) -> str:
        return path.format(key_id=self.key_id, team=self.team, request_id=self.request_id)


@pytest.fixture(scope="module")
def scene(place: Town) -> Scene:
    return Scene(place)


@pytest.mark.parametrize(("method", "path"), routes())
def test_who_is_not_signed_in_is_asked_to(scene: Scene, method: str, path: str) -> None:
    answer = httpx.request(method, str(scene.browser.http.base_url) + scene.path(path), headers=OWN)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/signin")


@pytest.mark.parametrize("path", [path for method, path in routes() if method == "POST"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_what_another_site_sends_is_refused(scene: Scene, path: str, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    answer = scene.browser.http.post(scene.path(path), data={"name": "x"}, headers=headers)
    assert answer.status_code == 403
    assert "did not come from a page of this router" in text_of(answer.text)


@pytest.mark.parametrize(("method", "path"), [one for one in routes() if "{" in one[1]])
def test_what_is_anothers_is_as_if_it_were_not_there(
    place: Town, scene: Scene, browser: Browser, method: str, path: str
) -> None:
    fields = {
        "form": number_of_form(browser.get("/wallet/keys")),
        "name": "mine",
        "role": "owner",
        "address": browser.person.address,
    }
    for one in (browser, Browser(Person(place.url))):
        there = scene.path(path)
        answer = one.http.get(there) if method == "GET" else one.form(there, **fields)
        assert answer.status_code in (403, 404), answer.text
        for word in ("the victim's", scene.victim.address.lower()[4:], scene.request_id):
            assert word not in answer.text.lower()
    assert "the victim's team" in html.unescape(scene.browser.get(f"/wallet/team/{scene.team}"))
    assert scene.key_id in scene.browser.get("/wallet/keys")


def test_a_stranger_cannot_filter_by_anothers_key_nor_make_one_in_its_team(
    scene: Scene, browser: Browser
) -> None:
    assert "No request matches" in browser.get(f"/wallet/requests?key={scene.key_id}")
    assert browser.get(f"/wallet/keys?team={scene.team}", 404)
    form = number_of_form(browser.get("/wallet/keys"))
    assert browser.form("/wallet/keys", form=form, team=scene.team, scope="chat").status_code == 404

"""The configuration file on a page: checked with lines, written whole, never over somebody else's text."""

from __future__ import annotations

import html
import json
import re
import stat
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from operator_world import Operated, make_operated, own_config
from pydantic.json_schema import models_json_schema
from router_upstream import Upstream
from router_world import read_when

from router.config import RouterConfig
from router.web.operator.writing import SECRETS


@pytest.fixture
def operated(new_world: Any, upstream: Upstream, tmp_path: Path) -> Operated:
    made = make_operated(new_world, tmp_path, more=own_config(upstream.url))
    path = file_of(made)
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2) + "\n")
    return made


def file_of(operated: Operated) -> Path:
    return Path(operated.world.router.environ["VIBES_CONFIG"])


def shown(answer: httpx.Response) -> dict[str, str]:
    """The form on a page: its text and which state of the file it is about."""
    text = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.DOTALL)
    expected = re.search(r'name="expected" value="([0-9a-f]{64})"', answer.text)
    assert text is not None
    assert expected is not None
    return {"text": html.unescape(text[1]), "expected": expected[1]}


def changed(form: dict[str, str], old: str, new: str) -> dict[str, str]:
    assert old in form["text"]
    return form | {"text": form["text"].replace(old, new)}


def write(client: httpx.Client, form: dict[str, str]) -> httpx.Response:
    return client.post("/operator/routing/file", data=form | {"reason": "dearer"})


def test_a_change_is_looked_at_then_written_then_in_force(operated: Operated) -> None:
    path = file_of(operated)
    path.chmod(0o640)
    with operated.signed_in() as client:
        form = changed(shown(client.get("/operator/routing/file")), '"west/fine"', '"west/better"')
        looked = client.post("/operator/routing/file/check", data=form)
        assert looked.status_code == 200
        assert re.search(r"<del>−.*west/fine.*</del>", looked.text)
        assert re.search(r"<ins>\+.*west/better.*</ins>", looked.text)
        assert "west/better" not in path.read_text()
        before = path.read_text()
        written = write(client, shown(looked))
        assert written.status_code == 303
        assert "in force" in client.get(written.headers["location"]).text
        assert path.read_text() == before.replace("west/fine", "west/better")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert [one.name for one in path.parent.glob(".*")] == []
        assert "west/better" in client.get("/operator/routing").text
        act = operated.acts(client)[0]
    assert (act["actor"], act["action"], act["after"]["reason"]) == ("alice", "config.write", "dearer")
    assert act["before"].keys() | act["after"].keys() == {"sha256", "reason"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(
            '"provider": "west"', '"provider": "wst"', "&#39;wst&#39; is not configured", id="reference"
        ),
        pytest.param(
            '"prompt_usd_per_mtok": "10"', '"prompt_usd_per_mtok": 10', "put it in quotes", id="type"
        ),
        pytest.param(
            '"model": "slow"', '"modell": "slow"', "did you mean &#39;model&#39;?", id="unknown-field"
        ),
        pytest.param('"model": "slow",', '"model": "slow"', "is not JSON", id="syntax"),
        pytest.param(
            '"bps": 3000', '"bps": 2999', "cannot change while the router runs", id="needs-a-restart"
        ),
        pytest.param("${UPSTREAM_KEY}", "${NO_SUCH_KEY}", "${NO_SUCH_KEY} is not set", id="variable"),
    ],
)
def test_a_broken_text_is_refused_beside_its_line(operated: Operated, old: str, new: str, told: str) -> None:
    before = file_of(operated).read_text()
    with operated.signed_in() as client:
        form = changed(shown(client.get("/operator/routing/file")), old, new)
        for answer in (client.post("/operator/routing/file/check", data=form), write(client, form)):
            assert answer.status_code == 422
            assert told in answer.text
            assert shown(answer)["text"] == form["text"]
            lines = [int(line) for line in re.findall(r'data-line="(\d+)"', answer.text)]
            if "cannot change" not in told:
                written = form["text"].splitlines()
                assert any(new.strip(",") in "".join(written[line - 2 : line]) for line in lines), lines
        assert operated.acts(client)[0]["action"] == "operator.signin"
    assert file_of(operated).read_text() == before


def test_a_file_that_changed_meanwhile_is_not_overwritten(operated: Operated) -> None:
    path = file_of(operated)
    with operated.signed_in() as client:
        form = changed(shown(client.get("/operator/routing/file")), '"west/fine"', '"west/mine"')
        theirs = path.read_text().replace("west/fine", "west/theirs")
        path.write_text(theirs)
        for answer in (client.post("/operator/routing/file/check", data=form), write(client, form)):
            assert answer.status_code == 409
            assert re.search(r"<del>−.*west/theirs", answer.text)
            assert re.search(r"<ins>\+.*west/mine", answer.text)
        assert path.read_text() == theirs
        again = client.post("/operator/routing/file/check", data=shown(answer))
        assert write(client, shown(again)).status_code == 303
    assert "west/mine" in path.read_text()


def test_of_two_who_write_at_once_one_wins(operated: Operated) -> None:
    path, answers = file_of(operated), {}
    with operated.signed_in() as first, operated.signed_in() as second:
        form = shown(first.get("/operator/routing/file"))
        start = threading.Barrier(2)

        def race(client: httpx.Client, name: str) -> None:
            mine = changed(form, '"west/fine"', f'"west/{name}"')
            start.wait()
            answers[name] = write(client, mine).status_code

        threads = [threading.Thread(target=race, args=one) for one in ((first, "one"), (second, "two"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers.values()) == [303, 409]
    winner = next(name for name, code in answers.items() if code == 303)
    assert f"west/{winner}" in path.read_text()


def test_a_literal_secret_is_neither_shown_nor_taken(operated: Operated) -> None:
    path = file_of(operated)
    with operated.signed_in() as client:
        form = shown(client.get("/operator/routing/file"))
        for secret in ("sk-live-0123456789", "${UPSTREAM_KEY}-sk-live-0123456789"):
            sent = changed(form, "${UPSTREAM_KEY}", secret)
            for answer in (client.post("/operator/routing/file/check", data=sent), write(client, sent)):
                assert (answer.status_code, "sk-live" in answer.text) == (403, False)
                assert "providers.east.api_key" in answer.text
        broken = changed(form, "${UPSTREAM_KEY}", "sk-live-0123456789")
        broken["text"] += "}"
        answer = client.post("/operator/routing/file/check", data=broken)
        assert (answer.status_code, "sk-live" in answer.text) == (403, False)
        path.write_text(path.read_text().replace("${UPSTREAM_KEY}", "sk-live-0123456789"))
        answer = client.get("/operator/routing/file")
        assert (answer.status_code, "sk-live" in answer.text) == (403, False)
    assert "sk-live" not in operated.world.router.log.read_text()


@pytest.mark.parametrize("end", ["", "}"], ids=["readable", "broken"])
def test_a_login_in_an_address_is_neither_shown_nor_taken(operated: Operated, end: str) -> None:
    path = file_of(operated)
    with operated.signed_in() as client:
        form = shown(client.get("/operator/routing/file"))
        sent = changed(form, '"http://', '"http://me:hunter2-${UPSTREAM_KEY}@')
        sent["text"] += end
        for answer in (client.post("/operator/routing/file/check", data=sent), write(client, sent)):
            assert (answer.status_code, "hunter2" in answer.text) == (403, False)
            assert "a secret stands in the text" in answer.text
        path.write_text(path.read_text().replace('"http://', '"http://me:hunter2@') + end)
        answer = client.get("/operator/routing/file")
        assert (answer.status_code, "hunter2" in answer.text) == (403, False)
    log = read_when(operated.world.router.log, "configuration not reloaded")
    assert ("configuration not reloaded" in log, "hunter2" in log) == (True, False)


def test_the_known_secrets_are_all_that_the_schema_has() -> None:
    _, schema = models_json_schema([(RouterConfig, "validation")])
    secret = {
        (name, field)
        for name, model in schema["$defs"].items()
        for field, item in model.get("properties", {}).items()
        if "writeOnly" in json.dumps(item)
    }
    assert secret == {("ProviderConfig", "api_key"), ("Relay", "rpc_url")}
    assert {place[-1] for place in SECRETS} == {"api_key", "rpc_url"}


def test_a_setting_turns_the_editor_into_a_view(new_world: Any, upstream: Upstream, tmp_path: Path) -> None:
    operated = make_operated(new_world, tmp_path, more=own_config(upstream.url), VIBES_CONFIG_EDITOR="no")
    before = file_of(operated).read_text()
    with operated.signed_in() as client:
        page = client.get("/operator/routing/file")
        assert "VIBES_CONFIG_EDITOR is no" in page.text
        assert "readonly" in page.text
        refused = write(client, changed(shown(page), '"west/fine"', '"west/better"'))
        assert refused.status_code == 403
    assert file_of(operated).read_text() == before


def test_a_file_that_is_refused_elsewhere_is_an_alert(operated: Operated) -> None:
    path = file_of(operated)
    path.write_text(path.read_text().replace('"provider": "west"', '"provider": "wst"'))
    read_when(operated.world.router.log, "configuration not reloaded")
    with operated.signed_in() as client:
        assert "The configuration file is not in force" in client.get("/operator").text

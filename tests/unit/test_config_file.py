"""Configuration files: both formats, every error with its line, secrets by reference, examples that load."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mini_llm.config_file import load_config
from mini_llm.config_lines import json_lines, json_repeats, toml_lines
from mini_llm.errors import ConfigError, ConfigErrors
from mini_llm.schema import schema_text
from router.cli import main
from router.commands.config import SCHEMA_TITLE
from router.config import RouterConfig, load_router_config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOML = """\
[providers.up]
base_url = "http://up/v1"

[[deployments]]
model = "a"
provider = "up"

[[deployments]]
model = "b"
provider = "up"
"""
FREE = TOML.replace(
    'provider = "up"', 'provider = "up"\nprompt_usd_per_mtok = "0"\ncompletion_usd_per_mtok = "0"'
)
keys = st.text(min_size=1, max_size=5)
documents = st.dictionaries(
    keys,
    st.recursive(
        st.integers()
        | st.booleans()
        | st.text(max_size=8)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


def places(value: Any, at: tuple[int | str, ...] = ()) -> dict[tuple[int | str, ...], Any]:
    """Every place of a document and what is there."""
    found = {at: value}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found |= places(item, (*at, key))
    return found


@given(documents)
def test_every_place_of_a_json_document_is_found(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1)
    lines = json_lines(text)
    assert lines.keys() == places(document).keys()
    split = text.split("\n")
    for place, value in places(document).items():
        line = split[lines[place] - 1]
        if place and isinstance(place[-1], str):
            assert line.strip().startswith(json.dumps(place[-1]))
        elif not isinstance(value, dict | list):
            assert line.strip().rstrip(",") == json.dumps(value)


def test_places_of_a_toml_document() -> None:
    text = '''\
# a = 0
top = 1
"quoted.key" = [
  1,  # a comment, [with] marks
  { x = "}", y.z = [ "]" ] },
]
[table.sub]
text = """
[[not.a.table]]
"""
after = \'\'\'x\'\'\'
[[list]]
id = 1
[list.inner]
v = 1979-05-27 07:32:00
[[list.deep]]
w = 1
[[list]]
id = 2
'''
    lines = toml_lines(text)
    expected = {
        ("top",): 2,
        ("quoted.key",): 3,
        ("quoted.key", 0): 4,
        ("quoted.key", 1): 5,
        ("quoted.key", 1, "y", "z", 0): 5,
        ("table", "sub"): 7,
        ("table", "sub", "text"): 8,
        ("table", "sub", "after"): 11,
        ("list", 0): 12,
        ("list", 0, "inner", "v"): 15,
        ("list", 0, "deep", 0, "w"): 17,
        ("list", 1): 18,
        ("list", 1, "id"): 19,
    }
    assert {place: lines[place] for place in expected} == expected
    assert lines.keys() >= places(tomllib.loads(text)).keys() - {(), ("table",)}


def write(folder: Path, text: str, name: str = "router.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def errors(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as refused:
        load_router_config(path, environ or {})
    return str(refused.value).replace(f"{path.parent}/", "").split("\n")


def test_all_errors_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    bad = TOML.replace('model = "a"', "model = 7").replace('model = "b"', 'model = "b"\nwieght = 1')
    assert errors(write(tmp_path, bad)) == [
        "router.toml:5: deployments.0.model: is a number but must be a string: put it in quotes",
        "router.toml:10: deployments.1.wieght: there is no such field; did you mean 'weight'?",
    ]


def test_what_does_not_fit_together_is_told_with_lines(tmp_path: Path) -> None:
    more = """\
[aliases]
b = "a"
c = "nowhere"
[routes.a]
groups = [
  ["up/a"],
  ["up/x"],
]
[rollouts.a]
to = "up/z"
steps = [{percent = 1}]
"""
    bad = TOML.replace('provider = "up"\n\n', 'provider = "upp"\npartner = 3\n\n') + more
    *told, no_price = errors(write(tmp_path, bad))
    assert no_price.startswith("router.toml:10: deployments.1.model: no price is named")
    assert told == [
        "router.toml:6: deployments.0.provider: 'upp' is not configured; there is: up",
        "router.toml:17: routes.a.groups.0.0: 'up/a' is no deployment; there is: upp/a, up/b",
        "router.toml:18: routes.a.groups.1.0: 'up/x' is no deployment; there is: upp/a, up/b",
        "router.toml:21: rollouts.a.to: 'up/z' is no deployment",
        "router.toml:13: aliases.b: is the name of a model already",
        "router.toml:14: aliases.c: 'nowhere' is no model; there is: a, b",
        "router.toml:7: deployments.0.partner: model 'a' names partner 3, not in partners",
    ]


def test_aliases_name_models_and_rollouts_are_of_models(tmp_path: Path) -> None:
    more = """\
[providers.here]
type = "local"
[aliases]
x = []
y = "z"
z = "y"
w = ["a", "w"]
v = "found-here"
[rollouts.nowhere]
to = "up/a"
steps = [{percent = 1}]
[rollouts.v]
to = "up/a"
steps = [{percent = 1}]
"""
    assert errors(write(tmp_path, FREE + more)) == [
        "router.toml:23: rollouts.nowhere: 'nowhere' is no model that is configured; there is: a, b",
        "router.toml:26: rollouts.v: is an alias: a rollout is of a model",
        "router.toml:18: aliases.x: names no model",
        "router.toml:19: aliases.y: 'z' is an alias: name its models",
        "router.toml:20: aliases.z: 'y' is an alias: name its models",
        "router.toml:21: aliases.w: 'w' is an alias: name its models",
    ]


def test_deployment_is_in_a_group_once(tmp_path: Path) -> None:
    more = """\
[routes.a]
groups = [["up/a", "up/b", "up/a"], ["up/b"]]
"""
    (told,) = errors(write(tmp_path, FREE + more))
    already = "'up/a' is in this group already; a 'weight' gives it more of the calls"
    assert told == f"router.toml:16: routes.a.groups.0.2: {already}"


def test_times_that_would_be_cut_are_refused_where_they_are_written(tmp_path: Path) -> None:
    more = """\
breaker = {refused_key_s = 500}
[[deployments]]
model = "c"
provider = "up"
prompt_usd_per_mtok = "1"
completion_usd_per_mtok = "1"
breaker = {max_open_s = 20}
[breaker]
open_s = 100
max_open_s = 90
"""
    assert errors(write(tmp_path, FREE + more)) == [
        "router.toml:23: breaker.open_s: open_s is 100, above max_open_s (90)",
        "router.toml:15: deployments.1.breaker.refused_key_s: refused_key_s is 500, above max_open_s (90)",
        "router.toml:21: deployments.2.breaker.max_open_s: open_s is 100, above max_open_s (20)",
    ]
    good = "breaker = {max_open_s = 20}\n[breaker]\nmax_open_s = 40\n"  # what nobody wrote is cut
    load_router_config(write(tmp_path, FREE + good), {})


def test_missing_value_is_told_where_it_is_missing(tmp_path: Path) -> None:
    text = json.dumps({"providers": {}, "deployments": [{"model": "a"}]}, indent=1)
    assert errors(write(tmp_path, text, "router.json")) == [
        "router.json:4: deployments.0.provider: is missing"
    ]


def test_secrets_come_from_environment_and_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from file\n")
    provider = f'api_key = "${{A}}-${{file:{tmp_path}/secret}}"\nbase_url = "http://up/v1"'
    config = load_router_config(
        write(tmp_path, FREE.replace('base_url = "http://up/v1"', provider)), {"A": "from environment"}
    )
    key = config.providers["up"].api_key
    assert key is not None
    assert key.get_secret_value() == "from environment-from file"
    assert "from" not in repr(config.providers["up"])


def test_references_that_lead_nowhere_are_all_told(tmp_path: Path) -> None:
    text = TOML.replace('"http://up/v1"', '"${HOST}"\napi_key = "${file:/nowhere/key}${1}"')
    assert errors(write(tmp_path, text)) == [
        "router.toml:2: providers.up.base_url: ${HOST} is not set: export HOST=… before the start",
        "router.toml:3: providers.up.api_key: ${file:/nowhere/key} cannot be read "
        "(No such file or directory)",
        "router.toml:3: providers.up.api_key: ${1} is not a valid reference: write ${NAME} or ${file:/path}",
    ]


def test_what_a_reference_leads_to_is_something_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "two").write_text("one\ntwo\n")
    (tmp_path / "none").write_text("\n")
    text = TOML.replace(
        "/v1", f'/v1"\napi_key = "${{A}}${{B}}${{file:{tmp_path}/two}}${{file:{tmp_path}/none}}'
    )
    at = "router.toml:3: providers.up.api_key: "
    no_line = "contains a line break or another control character, but must be a single line"
    nothing = "is empty: give it a value, or remove the reference"
    assert errors(write(tmp_path, text), {"A": "", "B": "sk-secret\n"}) == [
        f"{at}${{A}} {nothing}",
        f"{at}${{B}} {no_line}",
        f"{at}${{file:two}} {no_line}",
        f"{at}${{file:none}} {nothing}",
    ]
    for key in ("sk-secret\\n", "sk-sec…"):
        assert errors(write(tmp_path, TOML.replace("/v1", f'/v1"\napi_key = "{key}'))) == [
            f"{at}contains a line break or another character that no header can carry: copy it again"
        ]


def test_a_key_that_is_written_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    text = """{
 "providers": {"up": {"base_url": "http://a/v1"},
  "up": {"base_url": "http://b/v1"}},
 "deployments": [{"model": "a", "provider": "up",
   "model": "b"}],
 "tiers": [], "tiers": [{"x": 1}]
}"""
    assert errors(write(tmp_path, text, "router.json")) == [
        f"router.json:{lines[0]}: {place}: is written twice, in lines {lines[0]} and {lines[2]}: "
        "one of them would be forgotten"
        for place, lines in (("providers.up", "2-3"), ("deployments.0.model", "4-5"), ("tiers", "6-6"))
    ]


@given(documents)
def test_what_is_written_once_is_not_told_twice(document: dict[str, Any]) -> None:
    assert json_repeats(json.dumps(document)) == []


@pytest.mark.parametrize("name", ["router.json", "router.toml"])
def test_a_mark_at_the_beginning_of_a_file_is_nothing(tmp_path: Path, name: str) -> None:
    text = json.dumps(tomllib.loads(FREE)) if name.endswith("json") else FREE
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(load_router_config(tmp_path / name, {}).deployments) == 2


def test_a_field_that_nothing_is_like_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    (told,) = errors(write(tmp_path, FREE + "[rewards]\nqqq = 1\n"))
    assert re.fullmatch(r"router.toml:16: rewards.qqq: there is no such field; there is: .*enabled.*", told)
    nested = FREE + '[routes.a]\ngroups = [["up/a"]]\nbalence = "x"\n'
    (told,) = errors(write(tmp_path, nested))
    assert told.endswith("routes.a.balence: there is no such field; did you mean 'balance'?")


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.toml", b"x = [1,\n2", "is not TOML"),
        ("a.json", b"{\n oops\n}", r"is not JSON: .*line 2"),
        ("a.json", b"\xff", "is not UTF-8"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b"[]", "top level"),
    ],
)
def test_file_that_is_no_configuration_is_refused(
    tmp_path: Path, name: str, data: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=problem):
        load_config(tmp_path / name, RouterConfig, {})


def test_published_schema_is_the_present_one() -> None:
    published = (DOCS / "gateway" / "router.schema.json").read_text()
    assert published == schema_text(RouterConfig, SCHEMA_TITLE), (
        "vibes-router config schema > docs/gateway/router.schema.json"
    )
    assert CliRunner().invoke(main, ["config", "schema"]).output == published


def test_check_command(tmp_path: Path) -> None:
    priced = TOML.replace('provider = "up"\n', 'provider = "up"\nprompt_usd_per_mtok = "1"\n')
    good = CliRunner().invoke(main, ["config", "check", str(write(tmp_path, priced))])
    assert (good.exit_code, good.output) == (
        0,
        f"{tmp_path}/router.toml is valid: deployments 2, providers 1\n",
    )
    running = {"VIBES_CONFIG": str(tmp_path / "router.toml")}
    assert CliRunner().invoke(main, ["config", "check"], env=running).output == good.output
    losing = write(tmp_path, priced + "[policy]\nwholesale_bps = 9999\n")
    refused = CliRunner().invoke(main, ["config", "check", str(losing)])
    assert refused.exit_code == 2
    assert "each call would lose money" in refused.output


def examples() -> list[tuple[str, str, str]]:
    """Every whole configuration in the documentation: page, format, text."""
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        for kind, text in re.findall(r"^```(toml|json)\n(.*?)^```", page.read_text(), re.M | re.S):
            if "deployments" in text and "providers" in text:
                found.append((page.name, kind, text))
    return found


@pytest.mark.parametrize(("page", "kind", "text"), examples())
def test_examples_of_the_documentation_load(tmp_path: Path, page: str, kind: str, text: str) -> None:
    names = set(re.findall(r"\$\{([A-Z_]+)\}", text))
    (tmp_path / "secret").write_text("x")
    text = re.sub(r"\$\{file:[^}]*\}", f"${{file:{tmp_path}/secret}}", text)
    path = write(tmp_path, text, f"example.{kind}")
    assert load_router_config(path, dict.fromkeys(names, "x")).deployments


def test_there_are_examples() -> None:
    assert {(page, kind) for page, kind, _ in examples()} >= {("routing.md", "toml"), ("routing.md", "json")}

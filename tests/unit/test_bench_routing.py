"""Measuring a router: known figures of small tables, split and correction, floors, and the command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from router.bench.embedding import open_embedding
from router.bench.fit import Correction, crossed, describe, split

RNG = np.random.default_rng(5)


def test_equal_prompts_stay_together() -> None:
    prompts = [f"prompt {at % 50}" for at in range(200)]
    fitted, judged = split(prompts, 0.3, 1)
    assert {prompts[at] for at in fitted}.isdisjoint(prompts[at] for at in judged)
    assert (len(fitted), len(judged)) == (60, 140)
    assert len(split(prompts, 0.0, 1)[0]) == 0


def test_words_that_tell_are_learned() -> None:
    prompts = [f"About {'whales' if at % 2 else 'ships'}, number {at}." for at in range(600)]
    quality = np.array([[float(at % 2), 1.0] for at in range(600)])
    described, predicted = describe(prompts), np.full((600, 2), 0.7)
    found = Correction(described[:400], predicted[:400], quality[:400])
    rest = found.apply(described[400:], predicted[400:])
    assert rest[1::2, 0].min() > 0.7 > 0.3 > rest[0::2, 0].max()
    alone = crossed(described[:400], predicted[:400], quality[:400])
    assert np.abs(alone[:, 1] - 1).max() < 0.05
    assert alone[1::2, 0].min() > alone[0::2, 0].max()


def test_vectors_tell_of_words_that_were_never_seen() -> None:
    kinds = (
        ["whale", "dolphin", "shark", "salmon", "tuna", "octopus"],
        ["truck", "car", "bus", "van", "lorry", "tractor"],
    )
    asked = [(kinds[at % 2][at // 2 % 6], at % 2) for at in range(960)]
    learned = np.array([at for at, (word, _) in enumerate(asked) if kinds[asked[at][1]].index(word) < 4])
    other = np.setdiff1d(np.arange(len(asked)), learned)
    prompts = [f"Tell me about the {word}." for word, _ in asked]
    quality, predicted = np.array([[float(kind), 1.0] for _, kind in asked]), np.full((960, 2), 0.7)
    gaps = []
    for embed in (None, open_embedding()):
        described = describe(prompts, embed)
        found = Correction(described[learned], predicted[learned], quality[learned])
        rest = found.apply(described[other], predicted[other])[:, 0]
        gaps.append(rest[quality[other, 0] == 1].mean() - rest[quality[other, 0] == 0].mean())
    assert abs(gaps[0]) < 0.1  # by words alone, all of these are alike
    assert gaps[1] > 0.08


def test_noise_is_not_learned() -> None:
    letters = "abcdefghijklmnopqrst"
    prompts = [" ".join("".join(RNG.choice(list(letters), 2)) for _ in range(9)) for _ in range(400)]
    quality = RNG.integers(0, 2, (400, 2)).astype(np.float64)
    described, predicted = describe(prompts), np.full((400, 2), 0.5)
    found = crossed(described, predicted, quality)
    assert abs(np.corrcoef(found[:, 0], quality[:, 0])[0, 1]) < 0.2
    assert (found - quality.mean(axis=0)).std() < 0.15


def test_rows_say_nothing_of_themselves() -> None:
    quality = RNG.integers(0, 2, (60, 1)).astype(np.float64)
    found = crossed(describe(["the same"] * 60), np.full((60, 1), 0.5), quality)
    for fold in range(5):
        others = quality[np.arange(60) % 5 != fold].mean()
        assert abs(found[fold, 0] - others) < abs(found[fold, 0] - quality[fold::5].mean()) + 1e-9


@pytest.mark.parametrize(("rows", "least", "most"), [(20, 0.35, 0.65), (1000, 0.85, 0.9)])
def test_a_name_that_misleads_is_forgotten(rows: int, least: float, most: float) -> None:
    described, predicted = describe(["why?"] * rows), np.full((rows, 1), 0.3)
    quality = (np.arange(rows) % 10 > 0).astype(np.float64)[:, None]
    found = Correction(described, predicted, quality).apply(described[:1], predicted[:1])
    assert least < found[0, 0] < most


def test_luck_on_few_rows_makes_no_strong_model(tmp_path: Path) -> None:
    prompts = [f"Question {at}, of many?" for at in range(100)]
    fitted = split(prompts, 0.4, 0)[0].tolist()
    lucky = [float(at % 5 < 3) for at in range(100)]  # 60 %, and 85 % of the fitted rows
    for place, at in enumerate(fitted):
        lucky[at] = float(place % 20 > 2)
    columns = {
        "prompt": prompts,
        "q_mixtral-8x7b": lucky,
        "q_gpt-4": [float(at % 8 > 0) for at in range(100)],
    }
    pq.write_table(pa.table(columns), tmp_path / "lucky.parquet")
    found = json.loads(run(str(tmp_path / "lucky.parquet"), "--fit", "0.4").stdout)
    assert found["strong"] == "gpt-4"
    assert found["floor_quality"] > 0.97
    assert found["floor_kept"] >= 0.95


def test_a_floor_is_beside_who_seemed_strong_before(tmp_path: Path) -> None:
    """Of four models that are alike, only the judged rows show which one answers them best."""
    columns: dict[str, Any] = {"prompt": [f"Question {at}, of many?" for at in range(120)]}
    right = np.random.default_rng(8).random((4, 120)) < 0.65
    for at, name in enumerate(("gpt-3.5", "claude-1", "claude-2", "gpt-4")):
        columns |= {f"q_{name}": right[at], f"cost_{name}": np.full(120, at + 1.0)}
    pq.write_table(pa.table(columns), tmp_path / "alike.parquet")
    found = json.loads(run(str(tmp_path / "alike.parquet"), "--fit", "0.4").stdout)
    assert (found["floor_beside"], found["strong"]) == ("gpt-4", "gpt-3.5")
    assert found["floor_kept"] >= 0.95 > found["floor_kept_beside_best"]
    assert any("no threshold keeps the floor for sure" in note for note in found["notes"])
    told = next(note for note in found["notes"] if note.startswith("the floor is beside"))
    assert f"{found['floor_beside']}, which" in told
    assert f"{found['floor_kept_beside_best']:.1%} of the resamples" in told


def test_of_two_alike_the_cheaper_is_asked(tmp_path: Path) -> None:
    right = RNG.random(1200) < 0.7
    dear, cheap = (np.where(RNG.random(1200) < 0.005, ~right, right) for _ in range(2))
    columns = {
        "prompt": [f"Question {at}, of many?" for at in range(1200)],
        "q_gpt-4": dear,
        "cost_gpt-4": np.full(1200, 1.0),
        "q_mixtral-8x7b": cheap,
        "cost_mixtral-8x7b": np.full(1200, 0.1),
    }
    pq.write_table(pa.table(columns), tmp_path / "two.parquet")
    found = json.loads(run(str(tmp_path / "two.parquet"), "--fit", "0.5").stdout)
    assert found["floor_saving"] == pytest.approx(0.9)
    assert found["floor_kept"] >= 0.95


def graded(folder: Path, models: int, costs: bool, rows: int = 120) -> Path:
    columns: dict[str, Any] = {
        "prompt": [f"Question {at}, of many?" for at in range(rows)],
        "subject": [1] * rows,
    }
    for model in range(models):
        columns[f"q_acme/{model} x"] = RNG.random(rows) < 0.3 + 0.6 * model / (models - 1)
        if costs:
            columns[f"cost_acme/{model} x"] = RNG.random(rows) * 2.0**model
    path = folder / "graded.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def run(*arguments: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, ["bench", "routing", *arguments])


@pytest.mark.parametrize("models", [2, 11])
@pytest.mark.parametrize("fraction", ["0", "0.4"])
def test_the_command(tmp_path: Path, models: int, fraction: str) -> None:
    result = run(str(graded(tmp_path, models, costs=True)), "--fit", fraction)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["rows"], found["fitted_rows"]) == ((120, 0) if fraction == "0" else (72, 48))
    assert len(found["models"]) == models
    assert all(0 <= found[name] <= 1 for name in ("cpt50", "cpt80", "saving_95", "saving_90", "floor_kept"))
    assert found["floor_beside"] in {one["model"] for one in found["models"]}
    assert found["apgr_interval"][0] <= found["apgr"] <= found["apgr_interval"][1]
    assert 0 <= found["blind_95"] <= found["blind_90"] <= 1
    assert found["ms_per_decision"] > 0
    assert "placed by price" in found["notes"][0]
    again = json.loads(run(str(tmp_path / "graded.parquet"), "--fit", fraction).stdout)
    assert {k: v for k, v in again.items() if "ms_" not in k} == {
        k: v for k, v in found.items() if "ms_" not in k
    }


def test_without_any_price(tmp_path: Path) -> None:
    found = json.loads(run(str(graded(tmp_path, 3, costs=False))).stdout)
    assert (found["costs_from"], found["saving_95"], found["floor_saving"]) == ("unknown", None, None)
    assert found["blind_95"] is None
    assert "savings cannot be told" in found["notes"][0]


def written(folder: Path, **columns: Any) -> str:
    path = folder / "written.parquet"
    pq.write_table(pa.table({"prompt": [f"Question {at}?" for at in range(40)], **columns}), path)
    return str(path)


def test_costs_that_belong_to_nobody_are_named(tmp_path: Path) -> None:
    answers = {"q_gpt-4": [0.9] * 40, "q_mixtral": [0.5] * 40}
    found = json.loads(run(written(tmp_path, **answers, cost_gpt4=[1.0] * 40)).stdout)
    assert any(note.endswith("of that model's answers: cost_gpt4") for note in found["notes"])


def test_free_models_leave_nothing_to_save(tmp_path: Path) -> None:
    right = [float(at % 4 > 0) for at in range(40)]
    free = {"cost_gpt-4": [0.0] * 40, "cost_mixtral": [0.0] * 40}
    path = written(tmp_path, **{"q_gpt-4": right, "q_mixtral": [0.0] * 40}, **free)
    for arguments in ((), ("--fit", "0.5")):
        found = json.loads(run(path, *arguments).stdout)
        assert (found["weak"], found["strong"]) == (None, "gpt-4")
        assert (found["saving_95"], found["saving_90_interval"], found["floor_saving"]) == (None, None, None)
        assert found["notes"][:1] == [
            "all costs are 0: there is nothing to save, so no model is the weak one"
        ]
    assert found["floor_quality"] == 1.0  # it still tells whether quality is kept


def test_the_best_may_be_the_cheapest(tmp_path: Path) -> None:
    prices = {"cost_gpt-4": [1.0] * 40, "cost_mixtral": [0.1] * 40}
    path = written(tmp_path, **{"q_gpt-4": [0.5] * 40, "q_mixtral": [0.9] * 40}, **prices)
    found = json.loads(run(path).stdout)
    assert (found["weak"], found["strong"], found["apgr"], found["saving_95"]) == (None, "mixtral", None, 0)
    assert found["floor_saving"] <= 0
    assert found["notes"][0].startswith("mixtral answers best and is the cheapest")
    fitted = json.loads(run(path, "--fit", "0.5").stdout)
    assert fitted["floor_by"] == "the model that seems the strongest, as none costs less"
    assert len(fitted["notes"]) == 1  # more rows would not help: there is nothing to save


def test_a_promise_is_none_for_models_that_nobody_knows(tmp_path: Path) -> None:
    prices = {"cost_gpt-4": [1.0] * 40, "cost_acme one": [0.1] * 40, "cost_acme two": [0.2] * 40}
    answers = {"q_gpt-4": [0.9] * 40, "q_acme one": [0.1] * 40, "q_acme two": [0.2] * 40}
    found = json.loads(run(written(tmp_path, **answers, **prices)).stdout)
    assert [one["placed_by"] for one in found["models"]] == ["published figures", "price", "price"]
    note = found["notes"][0]
    assert "placed by price only, as no figures of them are published: acme one, acme two" in note
    assert "the shipped promise is none" in note
    known = {name: column for name, column in (answers | prices).items() if "two" not in name}
    known = {name.replace("acme one", "mixtral"): column for name, column in known.items()}
    told = json.loads(run(written(tmp_path, **known)).stdout)["notes"]
    assert told == ["the floor was kept in 0.0% of the resamples only"]  # a model that nobody overrates so


def test_refusals_are_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    bad.write_text("no")
    result = run(str(bad))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"vibes: cannot read {bad} as Parquet")
    assert run(str(graded(tmp_path, 2, costs=True, rows=30)), "--fit", "0.5").stderr.endswith("are needed\n")
    assert run(str(tmp_path / "none.parquet")).exit_code == 2
    for fraction in ("1", "nan", "-nan"):
        refused = run(str(tmp_path / "graded.parquet"), "--fit", fraction)
        assert (refused.exit_code, refused.stdout) == (2, "")


def test_embeddings_go_with_a_fit(tmp_path: Path) -> None:
    path = str(graded(tmp_path, 2, costs=True))
    refused = run(path, "--embeddings")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--fit" in refused.stderr
    with_them, without = (run(path, "--fit", "0.5", *more) for more in (("--embeddings",), ()))
    assert json.loads(with_them.stdout).keys() == json.loads(without.stdout).keys()
    assert "Loading" not in with_them.stderr


def test_help_teaches() -> None:
    text = run("--help").stdout
    for word in (
        "apgr",
        "cpt50",
        "saving_95",
        "draw between",
        "floor_kept",
        "ms_per_decision",
        "q_<model>",
        "Examples:",
    ):
        assert word in text


@pytest.mark.skipif("ROUTING_DATA" not in os.environ, reason="needs graded answers: ROUTING_DATA")
@pytest.mark.parametrize(("name", "saving"), [("mmlu_pair", 0.50), ("gsm8k_pair", 0.38)])
def test_the_shipped_predictor_on_graded_answers(name: str, saving: float) -> None:
    found = json.loads(run(str(Path(os.environ["ROUTING_DATA"]) / f"{name}.parquet")).stdout)
    assert found["apgr"] > 0.625
    assert found["saving_95"] > saving
    assert found["floor_kept"] >= 0.95
    assert found["floor_saving"] > 0.1

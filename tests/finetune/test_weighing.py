"""How often a memory counts beside a tuned model: said by the validation rows, unless the recipe says it."""

import json
from pathlib import Path

import pytest

from finetune.export import export_run
from finetune.reading import read_recipe
from finetune.session import train_run
from finetune.weighing import TRIED, WEIGHED, best_weight
from tests.finetune.shop import Silent, write_recipe

BESIDE = {"memory": True, "prior": True, "loss": "allowed"}


@pytest.mark.filterwarnings("ignore")  # transformers' trainer warns about itself
def test_the_bundle_has_the_weight_that_the_validation_rows_said(tiny_bundle: Path, tmp_path: Path):
    recipe = read_recipe(write_recipe(tmp_path, tiny_bundle / "base", **BESIDE, schedule={"steps": 2, "learning_rate": 0.01}))
    run = tmp_path / "run"
    finished = train_run(recipe, run, Silent())
    tried = json.loads((run / WEIGHED).read_text())
    assert tried["metric"] == finished.metric
    assert [float(weight) for weight in tried["found"]] == list(TRIED)
    chosen = best_weight(run)
    assert chosen is not None
    weight, figures = chosen
    assert figures[finished.metric] == max(each[finished.metric] for each in tried["found"].values())
    bundle = export_run(run, tmp_path / "bundle")
    assert bundle.weights.own_memory == weight
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert f"counts {weight:g} times" in card
    assert f"| P@1 | {figures['P@1']:.4f} |" in card

    tried["found"] = {weight: {"P@1": 0.75, finished.metric: value} for weight, value in (("0", 0.2), ("8", 0.5), ("4", 0.5))}
    (run / WEIGHED).write_text(json.dumps(tried))
    assert export_run(run, tmp_path / "another").weights.own_memory == 8
    assert json.loads((tmp_path / "another" / "metrics.json").read_text())["best"]["P@1"] == 0.75


@pytest.mark.filterwarnings("ignore")
def test_a_weight_of_the_recipe_is_kept_and_nothing_is_tried(tiny_bundle: Path, tmp_path: Path):
    said = {"weights": {"own_memory": 3.0}, "schedule": {"steps": 2, "learning_rate": 0.01}}
    recipe = read_recipe(write_recipe(tmp_path, tiny_bundle / "base", **BESIDE, **said))
    train_run(recipe, tmp_path / "run", Silent())
    assert best_weight(tmp_path / "run") is None
    assert export_run(tmp_path / "run", tmp_path / "bundle").weights.own_memory == 3

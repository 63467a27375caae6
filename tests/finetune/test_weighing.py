"""How often a memory counts beside a tuned model: said by the validation rows, unless the recipe says it."""

import json
from pathlib import Path

import pytest

from finetune.export import export_run
from finetune.reading import read_recipe
from finetune.session import train_run
from finetune.weighing import TRIED, WEIGHED, weight_of
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
    best = max(tried["found"].values())
    assert tried["found"][f"{weight_of(run):g}"] == best
    bundle = export_run(run, tmp_path / "bundle")
    assert bundle.weights.own_memory == weight_of(run)
    assert f"counts {weight_of(run):g} times" in (tmp_path / "bundle" / "README.md").read_text()

    tried["found"] = {"0": 0.2, "8": 0.5, "4": 0.5}
    (run / WEIGHED).write_text(json.dumps(tried))
    assert export_run(run, tmp_path / "another").weights.own_memory == 8


@pytest.mark.filterwarnings("ignore")
def test_a_weight_of_the_recipe_is_kept_and_nothing_is_tried(tiny_bundle: Path, tmp_path: Path):
    said = {"weights": {"own_memory": 3.0}, "schedule": {"steps": 2, "learning_rate": 0.01}}
    recipe = read_recipe(write_recipe(tmp_path, tiny_bundle / "base", **BESIDE, **said))
    train_run(recipe, tmp_path / "run", Silent())
    assert weight_of(tmp_path / "run") is None
    assert export_run(tmp_path / "run", tmp_path / "bundle").weights.own_memory == 3

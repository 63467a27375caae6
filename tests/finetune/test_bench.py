"""Speed beside TRL's trainer on a tiny model: that both do the same work. How fast is nothing for a test."""

import json
from pathlib import Path

import pytest

from finetune.bench import PEER, SYSTEMS, run, write_json
from finetune.reading import read_recipe
from hangtag.errors import InvalidSettings
from tests.finetune.shop import Silent, write_recipe

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers, trl and torch warn about themselves


def test_both_trainers_do_the_same_work(tiny_bundle: Path, tmp_path: Path):
    still = {"rank": 4, "alpha": 8, "dropout": 0.0}
    recipe = read_recipe(write_recipe(tmp_path, tiny_bundle / "base", lora=still, batch={"rows": 2}))
    turns: list[str] = []
    speeds = run(recipe, steps=5, rounds=2, watch=Silent(), tick=turns.append)
    assert turns == [*SYSTEMS, *SYSTEMS]
    ours, peer, allowed = speeds
    assert ours.loss == pytest.approx(peer.loss, abs=1e-3)
    assert allowed.loss < ours.loss
    write_json(recipe, speeds, tmp_path / "speed.json")
    written = json.loads((tmp_path / "speed.json").read_text())
    assert {system["system"]: system["ratio"] for system in written["systems"]}[PEER] == 1.0
    assert all(speed > 0 for system in written["systems"] for speed in system["rows_per_second"])


def test_too_few_rows_for_full_batches_are_refused(tiny_bundle: Path, tmp_path: Path):
    recipe = read_recipe(write_recipe(tmp_path, tiny_bundle / "base", batch={"rows": 64}))
    with pytest.raises(InvalidSettings, match=r"too few batches of 64; lower batch\.rows"):
        run(recipe, steps=5, rounds=1, watch=Silent(), tick=lambda system: None)

"""The bundled model from nothing, in a few steps: base weights, adapter, calibration, and a bundle that serves."""

import asyncio
import gzip
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import finetune.pretrain
from cli.main import app
from eval.datasets import SETS
from finetune.making import write_bundle
from finetune.mini import MiniRecipe
from finetune.reading import RECIPES, keys, read_mini
from hangtag.bundle import Bundle
from hangtag.calibration import WORDS
from hangtag.errors import InvalidData, InvalidSettings
from hangtag.formats import read_vocabulary, write_jsonl
from hangtag.listing import Listing
from serve.assemble import assemble
from serve.suggester import SuggestionRequest

VOCABULARY = """\
id,facet,en,zh,aliases_en,aliases_zh
category/headphones,category,Headphones,耳机,earphones|headset,耳麦|耳塞
category/shirts,category,Shirts,衬衫,shirt|blouse,衬衣|上衣
material/linen,material,Linen,亚麻,flax|linen cloth,麻布|亚麻布
feature/washable,feature,Washable,可机洗,machine wash|can be washed,可水洗|机洗
"""
RECIPE = """\
name: little
version: "1"
output: work
vocabulary: vocabulary.csv
domains: domains.csv
base: {tokens: 600, examples: 40, learning_rate: 3.0e-3, steps: 2}
adapter: {examples: 40, learning_rate: 1.0e-3, steps: 2}
calibration: {listings: 20}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "vocabulary.csv").write_text(VOCABULARY, encoding="utf-8")
    domains = "id,domains\ncategory/headphones,electronics\ncategory/shirts,fashion\n"
    (tmp_path / "domains.csv").write_text(domains, encoding="utf-8")
    path = tmp_path / "mini.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def make(recipe: Path, *options: str):
    output = ["--output", str(recipe.parent / "little-1"), "--work", str(recipe.parent / "work")]
    return CliRunner().invoke(app, ["finetune", "make", str(recipe), *output, *options])


@pytest.mark.filterwarnings("ignore")  # torch's compiler and transformers' trainer warn about themselves
def test_from_nothing_to_a_bundle_that_serves(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("finetune.pretrain.TOKENIZER_EXAMPLES", 200)
    monkeypatch.setattr("finetune.loop.torch.compile", lambda model, **options: model)  # minutes, and nothing to see
    result = make(recipe)
    assert result.exit_code == 0, result.output
    assert "little@1 in" in result.output
    bundle = Bundle.load(recipe.parent / "little-1")
    assert bundle.calibrations.find(bundle.vocabulary.hash, WORDS, own=True) is not None
    assert json.loads((bundle.directory / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "../base"

    suggester = assemble(bundle.directory)

    async def answer():
        try:
            return await suggester.suggest(SuggestionRequest(Listing("亚麻衬衫"), min_tags=1, max_tags=3))
        finally:
            await suggester.engine.close()

    suggestion = asyncio.run(answer())
    assert 1 <= len(suggestion.tags) <= 3
    assert suggestion.model == "little@1"
    assert suggestion.is_calibrated

    assert "something is there already" in make(recipe).output
    before = (bundle.directory / "base" / "model.safetensors").read_bytes()
    bundle.directory.rename(recipe.parent / "kept")
    recipe.write_text(RECIPE.replace("listings: 20", "listings: 21"), encoding="utf-8")

    def never(*_: object) -> None:
        raise AssertionError("what is done is not done again")

    monkeypatch.setattr("finetune.making.pretrain", never)
    monkeypatch.setattr("finetune.making.train_adapter", never)
    assert make(recipe).exit_code == 0
    assert (recipe.parent / "little-1" / "base" / "model.safetensors").read_bytes() == before

    (recipe.parent / "little-1").rename(recipe.parent / "kept-too")
    recipe.write_text(RECIPE.replace("seed: 0", "seed: 3").replace("steps: 2}", "steps: 3}", 1), encoding="utf-8")
    result = make(recipe)
    assert isinstance(result.exception, InvalidSettings | SystemExit)
    assert "begun with another recipe" in f"{result.output} {result.exception}"
    assert not (recipe.parent / "little-1").exists()


def test_a_stage_that_was_cut_off_is_begun_again(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def cut_off(*given: object) -> Path:
        asked.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr("finetune.making.pretrain", cut_off)
    for _ in range(2):
        make(recipe)
    assert len(asked) == 2


def test_a_bundle_has_the_vocabulary_in_the_form_that_it_was_given_in(recipe: Path, tiny_bundle: Path):
    vocabulary = recipe.with_name("tags.JSONL")
    write_jsonl(read_vocabulary(recipe.with_name("vocabulary.csv")), vocabulary)
    recipe.write_text(RECIPE.replace("vocabulary.csv", vocabulary.name), encoding="utf-8")
    made = recipe.with_name("made")
    write_bundle(read_mini(recipe), tiny_bundle / "base", tiny_bundle / "adapter", made)
    assert Bundle.load(made).vocabulary.hash == read_vocabulary(vocabulary).hash


def test_sets_that_are_not_there_are_named_before_anything_is_trained(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*_: object) -> None:
        raise AssertionError("nothing is trained")

    monkeypatch.setattr("finetune.making.pretrain", never)
    data = recipe.parent / "data"
    assert "oa-mine.train.jsonl.gz" in message(make(recipe, "--data", str(data)))
    for name in finetune.pretrain.PLAIN_TEXT_SETS:
        file = data / SETS[name][0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(b""))
    given = ["--data", str(data), "--set", "calibration.sets=[retial]"]
    assert "unknown data set 'retial'" in message(make(recipe, *given))


def message(result) -> str:
    assert result.exit_code != 0
    assert isinstance(result.exception, InvalidData | SystemExit)
    return f"{result.output} {result.exception}"


def test_the_shipped_recipe_has_every_key_with_a_comment():
    path = RECIPES / "mini.yaml"
    recipe = read_mini(path)
    assert recipe.vocabulary.exists()
    assert recipe.domains.exists()
    assert set(recipe.calibration.sets) <= set(SETS)
    text = path.read_text(encoding="utf-8")
    for key in keys(MiniRecipe):
        name = key.rpartition(".")[2]
        assert name in {"seed", "learning_rate", "steps", "own_memory"} or re.search(rf"^ *{name}:.*# \S", text, re.MULTILINE), (
            key
        )


def test_a_misspelt_key_is_named_with_its_line(recipe: Path):
    recipe.write_text(RECIPE.replace("calibration: {", "calibrate: {"), encoding="utf-8")
    with pytest.raises(InvalidSettings, match="unknown key 'calibrate'; did you mean 'calibration'"):
        read_mini(recipe)
    with pytest.raises(InvalidSettings, match=r"base\.examples"):
        read_mini(RECIPES / "mini.yaml", ["base.examples=0"])

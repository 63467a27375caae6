import re
from pathlib import Path

import pytest
import yaml

from finetune.reading import keys, read_recipe
from hangtag.errors import InvalidSettings
from tests.finetune.shop import write_recipe

RECIPES = Path(__file__).parents[2] / "finetune" / "recipes"
REFERENCE = RECIPES / "qwen3-4b-qlora-24gb.yaml"


@pytest.mark.parametrize("path", sorted({*RECIPES.glob("*.yaml")} - {RECIPES / "mini.yaml"}), ids=lambda path: path.stem)
def test_shipped_recipes_can_be_read(path: Path):
    recipe = read_recipe(path)
    assert recipe.data.files[0].path == RECIPES / "shop.csv"
    assert recipe.output == Path(yaml.safe_load(path.read_text())["output"])


def test_the_reference_has_every_key_with_a_comment():
    text = REFERENCE.read_text(encoding="utf-8")
    for key in keys():
        if key.startswith("data.validation.file."):
            continue  # the keys of `files`, said there
        name = key.rpartition(".")[2]
        assert re.search(rf"^[ -]*{name}:.*# \S", text, re.MULTILINE), key


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ("rank: 4", "rnak: 4", "unknown key 'lora.rnak'; did you mean 'rank'?"),
        ("name: tiny-shop", "nome: tiny-shop", "line 1: unknown key 'nome'; did you mean 'name'?"),
        ("zone: UTC", "separater: ';'", "unknown key 'data.files.0.separater'; did you mean 'separator'?"),
        (
            "rows: 4",
            "rows: many",
            "batch.rows: Input should be a valid integer, unable to parse string as an integer (it is 'many')",
        ),
        ("length: 256", "length: 4096", "sequences.length 4096 is over prompt.context 512"),
        ("precision: fp32", "prior: true", "set loss: allowed"),
        ("at: when", "id: sku", "what users did needs all of user_id, behaviour and at"),
        ("name: tiny-shop", "name: [", "not valid YAML"),
    ],
)
def test_a_wrong_recipe_names_the_place(tmp_path: Path, written: str, instead: str, message: str):
    path = write_recipe(tmp_path, tmp_path)
    path.write_text(path.read_text().replace(written, instead, 1))
    with pytest.raises(InvalidSettings) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_key_and_a_missing_file(tmp_path: Path):
    path = write_recipe(tmp_path, tmp_path)
    path.write_text(path.read_text().replace("name: tiny-shop\n", ""))
    with pytest.raises(InvalidSettings, match="'name' is missing"):
        read_recipe(path)
    with pytest.raises(InvalidSettings, match="can't be read"):
        read_recipe(tmp_path / "none.yaml")


def test_keys_can_be_said_otherwise(tmp_path: Path):
    path = write_recipe(tmp_path, tmp_path)
    recipe = read_recipe(path, ["lora.rank=8", "quantisation=nf4", "evaluation.patience=2"])
    assert (recipe.lora.rank, recipe.quantisation, recipe.evaluation.patience) == (8, "nf4", 2)
    assert recipe.hash != read_recipe(path).hash
    assert read_recipe(path, ["output=elsewhere"]).hash == read_recipe(path).hash
    for wrong in ("lora.rank", "name.first=x"):
        with pytest.raises(InvalidSettings, match="--set"):
            read_recipe(path, [wrong])

"""Runs for real on a tiny random model: trained, interrupted, resumed, exported, served."""

import asyncio
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune.config import Base, Recipe
from finetune.export import export_run
from finetune.folder import check_disk
from finetune.model import check_adapter, find_base, load_model, out_of_memory
from finetune.reading import read_recipe
from finetune.session import Finished, train_run
from finetune.trainer import anywhere
from hangtag.errors import EngineError, InvalidBundle, InvalidSettings
from hangtag.listing import Listing
from serve.assemble import assemble
from serve.suggester import SuggestionRequest
from tests.finetune.shop import Crashing, Silent, recipe_of, write_feedback_file, write_recipe, write_shop

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers, peft and torch warn about themselves


def losses(folder: Path) -> list[float]:
    curves = json.loads((folder / "curves.json").read_text())
    return [each["loss"] for each in curves["loss"] + curves["evaluations"]]


def recipe_in(folder: Path, base: Path, **changes: Any) -> Recipe:
    return read_recipe(write_recipe(folder, base, **changes))


@pytest.fixture(scope="module")
def whole(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("whole")
    return train_run(recipe_in(folder, tiny_bundle / "base"), folder / "run", Silent())


def test_a_run_leaves_the_best_adapter_and_curves(whole: Finished):
    assert whole.is_whole
    assert whole.metric == "nDCG@5"
    assert {"P@1", "P@5", "nDCG@5", "micro-F1", "ECE", "loss"} <= whole.best.keys()
    assert (whole.folder / "best" / "adapter_model.safetensors").exists()
    assert (whole.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(losses(whole.folder)) == 6 + 2


@pytest.mark.parametrize("crash", [2, 4])
def test_a_crashed_run_goes_on_as_if_nothing_had_been(whole: Finished, tiny_bundle: Path, tmp_path: Path, crash: int):
    recipe = recipe_in(tmp_path, tiny_bundle / "base")
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, run, Crashing(crash))
    last = max((run / "checkpoints").iterdir())
    broken = last.with_name("checkpoint-99")  # cut off while it was written
    shutil.copytree(last, broken)
    (broken / "trainer_state.json").unlink()
    resumed = train_run(recipe, run, Silent(), resume=True)
    assert losses(run) == pytest.approx(losses(whole.folder), abs=1e-3)
    assert resumed.best == pytest.approx(whole.best, abs=1e-3)


def test_a_run_whose_patience_has_ended_is_not_trained_on(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    quick = {"schedule": {"steps": 12, "learning_rate": 0.01}, "evaluation": {"every": 0.1, "rows": 2, "patience": 1}}
    recipe, run = recipe_in(tmp_path, tiny_bundle / "base", **quick), tmp_path / "run"
    monkeypatch.setattr("finetune.judge.Judge.figures", lambda *_, **__: {"nDCG@5": 0.5, "P@1": 0.5})
    ended = train_run(recipe, run, Silent())
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    again = train_run(recipe, run, Silent(), resume=True)
    assert ended.is_whole
    assert again == ended
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_run_on_other_devices_is_not_resumed(
    whole: Finished, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = read_recipe(whole.folder.parent / "recipe.yaml")
    monkeypatch.setattr("finetune.session.processes", lambda: 2)
    with pytest.raises(InvalidSettings, match="begun by 1 processes, whose batches are others than those of 2"):
        train_run(recipe, whole.folder, Silent(), resume=True)


def test_what_one_process_wants_all_do(monkeypatch: pytest.MonkeyPatch):
    def other_wants_the_second(said: torch.Tensor, _: object) -> None:
        said[1] = 1

    device = torch.device("cpu")
    assert anywhere(device, True, False) == [True, False]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", other_wants_the_second)
    assert anywhere(device, False, False) == [False, True]


def test_changed_feedback_is_noticed(tiny_bundle: Path, tmp_path: Path):
    write_feedback_file(tmp_path / "feedback.jsonl")
    write_shop(tmp_path / "shop.csv")
    data = recipe_of(tmp_path, tiny_bundle / "base")["data"] | {"feedback": ["feedback.jsonl"]}
    recipe = recipe_in(tmp_path, tiny_bundle / "base", data=data, method="dpo", schedule={"steps": 1}, evaluation={"rows": 2})
    train_run(recipe, tmp_path / "run", Silent())
    file = tmp_path / "feedback.jsonl"
    file.write_text(file.read_text().replace('"rejected": ["Audio"]', '"rejected": []'))
    with pytest.raises(InvalidSettings, match="the data has changed since"):
        train_run(recipe, tmp_path / "run", Silent(), resume=True)


def test_another_recipe_is_not_resumed(whole: Finished, tiny_bundle: Path, tmp_path: Path):
    before = {path.name: path.read_bytes() for path in whole.folder.iterdir() if path.is_file()}
    write_shop(tmp_path / "shop.csv", 12)
    recipe = recipe_in(tmp_path, tiny_bundle / "base", seed=7)
    with pytest.raises(InvalidSettings, match=r"the recipe has changed since \(.*seed"):
        train_run(recipe, whole.folder, Silent(), resume=True)
    assert {path.name: path.read_bytes() for path in whole.folder.iterdir() if path.is_file()} == before
    with pytest.raises(InvalidSettings, match="a run is here already; go on with --resume"):
        train_run(recipe, whole.folder, Silent())
    with pytest.raises(InvalidSettings, match="no run here to go on with"):
        train_run(recipe, tmp_path / "new", Silent(), resume=True)


@pytest.mark.parametrize("merged", [False, True])
def test_the_bundle_serves(whole: Finished, tmp_path: Path, merged: bool):
    bundle = export_run(whole.folder, tmp_path / "bundle", merged=merged, version="7")
    assert bundle.model == "tiny-shop@7"
    assert (bundle.adapter is None) == merged
    assert "nDCG@5" in (bundle.directory / "README.md").read_text()
    suggester = assemble(bundle.directory)

    async def answer() -> Any:
        try:
            return await suggester.suggest(SuggestionRequest(Listing("Wireless linen shirt"), max_tags=2))
        finally:
            await suggester.engine.close()

    assert {tag.label for tag in asyncio.run(answer()).tags} <= {"Audio", "Wardrobe", "Walk", "Natural", "Season pick"}


def test_no_half_written_bundle_is_left(whole: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".bundle.part-1").mkdir()  # of an export that was killed

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(EngineError, match="bundle: the bundle can't be written: No space left on device; make room"):
            export_run(whole.folder, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
    export_run(whole.folder, tmp_path / "bundle")
    with pytest.raises(InvalidSettings, match="something is there already"):
        export_run(whole.folder, tmp_path / "bundle")
    with pytest.raises(InvalidSettings, match="no run here"):
        export_run(tmp_path, tmp_path / "other")


def test_a_full_disk_stops_the_run_and_says_so(tiny_bundle: Path, tmp_path: Path):
    recipe = recipe_in(tmp_path, tiny_bundle / "base", schedule={"steps": 2}, evaluation={"every": 0, "rows": 2})
    full = tmp_path / "run" / ".evaluations.jsonl.partial"
    full.parent.mkdir()
    full.symlink_to("/dev/full")
    with pytest.raises(EngineError, match=r"the disk is full .*make room, then go on with --resume"):
        train_run(recipe, tmp_path / "run", Silent())
    assert not full.is_symlink()
    assert train_run(recipe, tmp_path / "run", Silent(), resume=True).is_whole


def test_a_disk_without_room_for_checkpoints_is_refused_before_training(tmp_path: Path):
    parameters = [torch.nn.Parameter(torch.empty(2**45, device="meta"))]
    with pytest.raises(EngineError, match=r"checkpoints need about [\d,]+ MiB, the disk has"):
        check_disk(tmp_path, SimpleNamespace(parameters=lambda: parameters))


def test_a_base_that_changed_is_refused(tiny_bundle: Path, tmp_path: Path):
    base = shutil.copytree(tiny_bundle / "base", tmp_path / "base")
    recipe = recipe_in(tmp_path, base, schedule={"steps": 1}, evaluation={"rows": 2})
    train_run(recipe, tmp_path / "run", Silent())
    (base / "generation_config.json").write_text("{}")
    with pytest.raises(InvalidBundle, match="the base has changed since"):
        export_run(tmp_path / "run", tmp_path / "bundle")


@pytest.mark.parametrize("changes", [{"loss": "allowed", "order": "sampled"}, {"quantisation": "nf4"}, {"checkpointing": True}])
def test_other_ways_to_train(tiny_bundle: Path, tmp_path: Path, changes: dict[str, Any]):
    if "quantisation" in changes:
        pytest.importorskip("bitsandbytes")
    few = {"schedule": {"steps": 2, "learning_rate": 0.01}, "evaluation": {"every": 0, "rows": 2}}
    finished = train_run(recipe_in(tmp_path, tiny_bundle / "base", **few, **changes), tmp_path / "run", Silent())
    assert finished.best["step"] == 2


@pytest.mark.parametrize(("method", "untrained"), [("dpo", math.log(2)), ("kto", 0.5)])
def test_preferences_are_learned_and_resumed(tiny_bundle: Path, tmp_path: Path, method: str, untrained: float):
    write_feedback_file(tmp_path / "feedback.jsonl", 60)
    recipe = recipe_in(
        tmp_path,
        tiny_bundle / "base",
        method=method,
        data={"feedback": ["feedback.jsonl"], "validation": {"share": 0.2}},
        schedule={"steps": 12, "learning_rate": 0.01, "warmup": 0.0},
    )
    base = recipe.base.model_copy(update={"adapter": tiny_bundle / "adapter"})
    recipe = recipe.model_copy(update={"base": base})
    finished = train_run(recipe, tmp_path / "whole", Silent())
    curve = losses(tmp_path / "whole")[:12]
    assert curve[0] == pytest.approx(untrained, abs=0.02)
    assert curve[-1] < curve[0] - 0.03
    assert not (finished.folder / "best" / "ref").exists()
    with pytest.raises(KeyboardInterrupt):
        train_run(recipe, tmp_path / "run", Crashing(8))
    resumed = train_run(recipe, tmp_path / "run", Silent(), resume=True)
    assert losses(tmp_path / "run")[:12] == pytest.approx(curve, abs=1e-3)
    assert resumed.best == pytest.approx(finished.best, abs=1e-3)
    assert export_run(tmp_path / "run", tmp_path / "bundle").adapter is not None


def test_packed_rows_do_not_see_each_other(tiny_bundle: Path, tmp_path: Path):
    still = {"lora": {"rank": 4, "dropout": 0.0}, "schedule": {"steps": 1, "learning_rate": 1e-9}}
    found = []
    for packing in (False, True):
        folder = tmp_path / str(packing)
        folder.mkdir()
        sequences = {"length": 256, "packing": packing}
        recipe = recipe_in(folder, tiny_bundle / "base", sequences=sequences, evaluation={"every": 0, "rows": 12}, **still)
        found.append(train_run(recipe, folder / "run", Silent()).best["loss"])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_an_adapter_is_gone_on_with_and_one_of_another_base_refused(tiny_bundle: Path, tmp_path: Path):
    adapter = tiny_bundle / "adapter"
    recipe = recipe_in(tmp_path, tiny_bundle / "base")
    recipe = recipe.model_copy(update={"base": Base(model=str(tiny_bundle / "base"), adapter=adapter)})
    model = load_model(recipe, find_base(recipe.base))
    assert model.peft_config["default"].r == 2
    assert any(parameter.requires_grad for parameter in model.parameters())
    other = shutil.copytree(tiny_bundle / "base", tmp_path / "other")
    config = json.loads((other / "config.json").read_text()) | {"hidden_size": 96}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidBundle, match="the adapter was made for"):
        check_adapter(adapter, other)
    alone = shutil.copytree(adapter, tmp_path / "alone" / "adapter")
    check_adapter(alone, tiny_bundle / "base")
    with pytest.raises(InvalidBundle, match="the adapter does not fit"):
        check_adapter(alone, other)


def test_what_cannot_be_had_says_what_to_do(tmp_path: Path, tiny_bundle: Path):
    with pytest.raises(EngineError, match=r"base.model 'nobody/nothing' can't be had from the hub.*give its directory"):
        find_base(Base(model="nobody/nothing"))
    with pytest.raises(EngineError, match=r"base\.model does not exist"):
        find_base(Base(model=str(tmp_path / "none")))
    recipe = recipe_in(tmp_path, tiny_bundle / "base")
    error = out_of_memory(torch.OutOfMemoryError("CUDA out of memory."), recipe)
    assert "batch.rows=2 with batch.accumulation=2" in str(error)
    assert out_of_memory(RuntimeError("something else"), recipe) is None

"""How many rows a second training takes in, beside TRL's own trainer: the same model, rows, batches and settings, in turns. It
knows both trainers, and no table.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainingArguments, set_seed

from finetune.arguments import arguments_of
from finetune.batches import WIDTH_STEP, Batches, plan
from finetune.config import Recipe
from finetune.model import load_model, precision_of
from finetune.session import Prepared, Watch, prepare_run
from finetune.trainer import AnswerTrainer
from hangtag.errors import InvalidSettings
from hangtag.files import save_json

PEER = "trl"
SYSTEMS = ("hangtag", PEER, "hangtag, loss: allowed")
WARM = 2
"""Steps before the clock starts."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A system's `rows_per_second` in each round, and the training loss of its last step: equal work, nearly equal losses."""

    system: str
    rows_per_second: tuple[float, ...]
    loss: float

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rows_per_second)


def run(recipe: Recipe, *, steps: int, rounds: int, watch: Watch, tick: Callable[[str], object]) -> list[Speed]:
    """Every system in every round, in turns; `tick` hears each one's name before its turn. Raises `InvalidSettings` where the
    data are too few for full batches."""
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise InvalidSettings("the benchmark needs TRL; install hangtag with the extra finetune") from error
    once = {"accumulation": 1, "tokens": None}
    recipe = recipe.model_copy(
        update={
            "loss": "plain",
            "prior": False,
            "sequences": recipe.sequences.model_copy(update={"packing": False}),
            "batch": recipe.batch.model_copy(update=once),
            "schedule": recipe.schedule.model_copy(update={"steps": 2 * (steps + WARM)}),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_run(recipe, Path(folder), watch)
        lengths = np.array([example.length for example in prepared.train], np.int64)
        batches = [batch for batch in plan(lengths, recipe) if len(batch) == recipe.batch.rows][: steps + WARM]
        if len(batches) < steps + WARM:
            raise InvalidSettings(
                f"{len(prepared.train):,} rows make too few batches of {recipe.batch.rows}; lower batch.rows", field="batch.rows"
            )
        found: dict[str, list[float]] = {system: [] for system in SYSTEMS}
        losses: dict[str, float] = {}
        for _ in range(rounds):
            for system in SYSTEMS:
                tick(system)
                speed, losses[system] = _train(system, recipe, prepared, batches, Path(folder))
                found[system].append(speed)
    return [Speed(system, tuple(found[system]), losses[system]) for system in SYSTEMS]


def write_json(recipe: Recipe, speeds: Sequence[Speed], path: Path) -> None:
    """All figures, with the ratio of each median to TRL's."""
    peer = next(speed.median for speed in speeds if speed.system == PEER)
    about = {
        "recipe": recipe.model_dump(mode="json"),
        "precision": precision_of(recipe),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "systems": [asdict(speed) | {"median": speed.median, "ratio": speed.median / peer} for speed in speeds],
    }
    save_json(about, path)


def _train(
    system: str, recipe: Recipe, prepared: Prepared, batches: Sequence[np.ndarray[Any, np.dtype[np.int64]]], folder: Path
) -> tuple[float, float]:
    """Rows a second, and the last loss."""
    set_seed(recipe.seed)
    model = load_model(recipe, prepared.files)
    given = arguments_of(recipe, folder, len(batches)) | {"logging_steps": len(batches) - 1}
    clock = _Clock()
    if system == PEER:
        trainer = _peer(recipe, prepared, batches, model, given, clock)
    else:
        ours = recipe if system == SYSTEMS[0] else recipe.model_copy(update={"loss": "allowed"})
        trainer = AnswerTrainer(
            model,
            judge=None,
            every=0,
            watch=clock,
            args=TrainingArguments(per_device_train_batch_size=1, **given),
            train_dataset=Batches(prepared.train, batches, ours, pad_id=prepared.kit.pad_id),
        )
    trainer.train()
    rows = sum(len(batch) for batch in batches[WARM:])
    return rows / (clock.end - clock.begun), clock.loss


def _peer(
    recipe: Recipe,
    prepared: Prepared,
    batches: Sequence[np.ndarray[Any, np.dtype[np.int64]]],
    model: Any,
    given: dict[str, Any],
    clock: TrainerCallback,
) -> Any:
    """TRL's trainer over the same rows, laid out in the order of our batches."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    rows = []
    for row in np.concatenate(batches):
        example = prepared.train[row]
        answer, learned = example.answer_ids(example.tags)
        prompt = list(example.request.prompt)
        rest = len(answer) - learned
        rows.append({"input_ids": [*prompt, *answer], "labels": [-100] * len(prompt) + answer[:learned] + [-100] * rest})
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            per_device_train_batch_size=recipe.batch.rows,
            max_length=None,
            pad_to_multiple_of=WIDTH_STEP,
            train_sampling_strategy="sequential",
            dataset_kwargs={"skip_prepare_dataset": True},
            **given,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=prepared.kit.tokenizer.transformers,
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Clock(TrainerCallback):  # type: ignore[misc]
    """When the clock began and ended, and the last loss."""

    def __init__(self) -> None:
        self.begun = self.end = self.loss = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.end = time.perf_counter()
        if state.global_step == WARM:
            self.begun = self.end

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        self.loss = float((logs or {}).get("loss", self.loss))

"""A run of a recipe, from its data to the best adapter in a folder, resumed where it was cut off. It knows the order of the
steps; how batches, losses and figures are made is known elsewhere.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from transformers import TrainerCallback, TrainingArguments, set_seed

from eval.rows import write_rows
from finetune.arguments import arguments_of
from finetune.batches import Batches, plan
from finetune.checkpoints import disk_watched
from finetune.config import Recipe
from finetune.curves import write_curves
from finetune.data import TrainingData, read_data
from finetune.examples import Example, Listener, make_examples
from finetune.folder import (
    CHECKPOINTS,
    FORMAT,
    base_hash,
    check_disk,
    check_folder,
    check_same,
    last_checkpoint,
    write_about,
)
from finetune.judge import Judge, metric_of
from finetune.kit import Kit, make_kit
from finetune.model import BaseFiles, find_base, load_model, out_of_memory
from finetune.pairs import compared, in_order
from finetune.trainer import AnswerTrainer, Judged
from finetune.weighing import weigh_memory
from hangtag.bundle import hash_path


class Watch(Protocol):
    """Who looks on: named pieces of work with a known end, and sentences."""

    def begin(self, name: str, total: int) -> None: ...

    def done(self, name: str, count: int, note: str = "") -> None: ...

    def say(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """`best` is the evaluation of the adapter that was kept; `is_whole` is false where somebody interrupted the run."""

    folder: Path
    best: dict[str, float]
    metric: str
    is_whole: bool


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything of a run but its weights."""

    data: TrainingData
    files: BaseFiles
    kit: Kit
    train: list[Example]
    held: list[Example]


def prepare_run(recipe: Recipe, folder: Path, watch: Watch, *, parts: Path | None = None, weights: bool = True) -> Prepared:
    """Data, prompt, vocabulary and examples. Prompt and vocabulary are written to `parts` (None: `folder`), a memory to `folder`.
    Raises what reading them raises."""
    data = read_data(recipe.data, recipe.name, preferences=recipe.method != "sft")
    files = find_base(recipe.base, weights=weights)
    kit = make_kit(recipe, files, data.vocabulary, parts or folder)
    if recipe.memory:
        watch.begin("Memory", 100)
        with _main_first():  # the others open what it has made
            kit = kit.remembering(data.held, folder, lambda share: watch.done("Memory", round(100 * share)))
        watch.done("Memory", 100)
    suggester = kit.suggester(Listener(), context=recipe.sequences.length)
    explain = recipe.prompt.explanation == "quotes"
    most = min(recipe.prompt.max_tags, len(data.vocabulary))
    held = data.held.limited(recipe.evaluation.rows)
    made = []
    for name, corpus in (("Training rows", data.learn), ("Validation rows", held)):
        watch.begin(name, len(corpus.gold))
        tick = functools.partial(watch.done, name)
        made.append(make_examples(suggester, corpus, max_tags=most, explain=explain, tick=tick))
    return Prepared(data, files, kit, *made)


def processes() -> int:
    """How many train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _main_first() -> AbstractContextManager[Any]:
    """Where several processes train, the others wait until the first is through."""
    from accelerate import PartialState

    manager: AbstractContextManager[Any] = PartialState().main_process_first() if "WORLD_SIZE" in os.environ else nullcontext()
    return manager


def train_run(recipe: Recipe, folder: Path, watch: Watch, *, resume: bool = False) -> Finished:
    """Train, judge, keep the best. Raises `InvalidSettings` for a folder with another run or none to resume, `EngineError` for
    too little memory or disk; what was saved before can be resumed."""
    check_folder(folder, resume=resume)
    watched = disk_watched(folder, "go on with --resume")
    with tempfile.TemporaryDirectory() as parts, watched, _memory_watched(recipe):
        prepared = prepare_run(recipe, folder, watch, parts=Path(parts))
        about = _about(recipe, prepared)
        if resume:
            check_same(folder, about)  # before anything of the run is touched
        elif int(os.environ.get("RANK", "0")) == 0:
            folder.mkdir(parents=True, exist_ok=True)
            for file in (prepared.kit.bundle.prompt_file, prepared.kit.bundle.vocabulary_file):
                shutil.copyfile(file, folder / file.name)
            write_rows(prepared.data.known, folder / "train.jsonl")
            write_rows(prepared.data.held.test.rows, folder / "validation.jsonl")
            write_about(folder, about)
        return _train(recipe, folder, watch, prepared, last_checkpoint(folder) if resume else None)


@contextmanager
def _memory_watched(recipe: Recipe) -> Iterator[None]:
    """Too little memory as an error that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if (known := out_of_memory(error, recipe)) is not None:
            raise known from error
        raise


def _train(recipe: Recipe, folder: Path, watch: Watch, prepared: Prepared, last: Path | None) -> Finished:
    set_seed(recipe.seed)
    model = load_model(recipe, prepared.files)
    check_disk(folder, model)
    judge = _judge(recipe, folder, prepared)
    trainer, steps = _trainer(recipe, folder, watch, prepared, model, judge)
    if last is not None:
        judge.resume(int(last.name.rpartition("-")[2]))
        watch.say(f"Going on from step {last.name.rpartition('-')[2]} of {steps:,}")
    trainer.stopping.is_enough = judge.is_enough
    if not judge.is_enough:
        with _interruptible(trainer):
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
        if trainer.is_world_process_zero():
            write_curves(folder, trainer.state.log_history)
    is_whole = trainer.state.global_step >= steps or trainer.stopping.is_enough
    if is_whole and recipe.memory and recipe.weights.own_memory is None and not recipe.parallel.fsdp:
        _weigh(trainer, judge, folder, watch)
    if not judge.evaluations:
        return Finished(folder, {}, judge.metric, is_whole)
    return Finished(folder, judge.best(), judge.metric, is_whole)


def _weigh(trainer: Judged, judge: Judge, folder: Path, watch: Watch) -> None:
    if trainer.is_world_process_zero():
        found = weigh_memory(judge, trainer.accelerator.unwrap_model(trainer.model), folder)
        shown = ", ".join(f"{weight} times {value:.3f}" for weight, value in found.items())
        watch.say(f"{judge.metric} where the memory counts {shown} (0: it leads)")


def _trainer(recipe: Recipe, folder: Path, watch: Watch, prepared: Prepared, model: Any, judge: Judge) -> tuple[Judged, int]:
    """The trainer of the recipe's method, its batches planned, and the steps that it will take."""
    output = folder / CHECKPOINTS

    def judged(steps: int) -> dict[str, Any]:
        every = max(1, round(steps * recipe.evaluation.every)) if recipe.evaluation.every else steps
        return {"judge": judge, "every": every, "watch": _Shown(watch, steps)}

    if recipe.method != "sft":
        from finetune.preference import preference_trainer

        rows, steps = in_order(compared(recipe, prepared.train, prepared.data), recipe, processes())
        tokenizer = prepared.kit.tokenizer.transformers
        return preference_trainer(recipe, model, rows, tokenizer=tokenizer, folder=output, steps=steps, **judged(steps)), steps
    lengths = np.array([example.length for example in prepared.train], np.int64)
    batches = plan(lengths, recipe, processes())
    steps = len(batches) // (recipe.batch.accumulation * processes())
    trainer = AnswerTrainer(
        model,
        args=TrainingArguments(per_device_train_batch_size=1, **arguments_of(recipe, output, steps)),
        train_dataset=Batches(prepared.train, batches, recipe, pad_id=prepared.kit.pad_id),
        **judged(steps),
    )
    return trainer, steps


def _judge(recipe: Recipe, folder: Path, prepared: Prepared) -> Judge:
    plain = recipe.model_copy(
        update={
            "schedule": recipe.schedule.model_copy(update={"epochs": 1.0, "steps": None}),
            "batch": recipe.batch.model_copy(update={"accumulation": 1}),
            "order": "given",
        }
    )
    lengths = np.array([example.length for example in prepared.held], np.int64)
    batches = Batches(prepared.held, plan(lengths, plain), plain, pad_id=prepared.kit.pad_id)
    corpus = prepared.data.held.limited(recipe.evaluation.rows)
    return Judge(recipe, prepared.kit, corpus, batches, folder)


class _Shown(TrainerCallback):  # type: ignore[misc]
    """Steps and losses for whoever looks on."""

    def __init__(self, watch: Watch, steps: int) -> None:
        self._watch, self._note = watch, ""
        self._steps = steps

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._watch.begin("Steps", self._steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._watch.done("Steps", state.global_step, self._note)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        logs = logs or {}
        if "loss" in logs:
            self._note = f"loss {float(logs['loss']):.3f}"
        if "eval_loss" in logs and state.is_world_process_zero:
            figures = [(name.removeprefix("eval_"), value) for name, value in logs.items() if name.startswith("eval_")]
            shown = ", ".join(f"{name} {value:.3f}" for name, value in figures if not name.startswith("-"))
            self._watch.say(f"Step {state.global_step}: {shown}")


@contextmanager
def _interruptible(trainer: Judged) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) saves and stops after the step under way, the second one stops at once."""

    def interrupt(number: int, frame: Any) -> None:
        if trainer.stopping.interrupted:
            raise KeyboardInterrupt
        trainer.stopping.interrupted = True

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _about(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    rows = [
        repr((row.listing, row.tags, row.events)) for side in (prepared.data.learn, prepared.data.held) for row in side.test.rows
    ]
    rows += map(repr, prepared.data.feedback.values())
    files = prepared.files
    return {
        "format": FORMAT,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_hash": recipe.hash,
        "data_hash": hashlib.sha256("\n".join(rows).encode()).hexdigest(),
        "vocabulary_hash": prepared.kit.vocabulary.hash,
        "prompt_hash": hash_path(prepared.kit.bundle.prompt_file),
        "base_hash": base_hash(files),
        "base": {"model": recipe.base.model, "hub": files.hub, "revision": files.revision},
        "processes": processes(),
        "metric": metric_of(recipe, len(prepared.kit.vocabulary)),
        "rows": {"training": len(prepared.train), "validation": len(prepared.data.held.gold)},
        "notes": list(prepared.data.notes),
    }

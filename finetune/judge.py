"""`Judge`: how good a model under training is on validation rows, through the `Suggester` and the production decoder, and its
loss there. It knows figures, and keeps the best model; it does not know how models are trained.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.corpus import Corpus
from eval.predictions import Prediction, answers_of
from eval.run import make_questions, predict
from eval.scores import Training, scores_of
from finetune.batches import Batches
from finetune.config import Recipe
from finetune.kit import Kit
from finetune.rows import IGNORED
from finetune.trainer import answer_loss
from hangtag.files import save_text
from serve.engines.local import LocalEngine

BEST, EVALUATIONS = "best", "evaluations.jsonl"
FIGURES = ("P@1", "P@{k}", "R@{k}", "nDCG@{k}", "micro-F1", "macro-F1", "ECE")


@dataclass(eq=False)
class Judge:
    """Asks the rows of `corpus`, keeps the best adapter in `folder`/best and every evaluation in a line of a file. Where weights
    are spread over devices only the loss is judged: they can't generate on one of them."""

    recipe: Recipe
    kit: Kit
    corpus: Corpus
    batches: Batches
    folder: Path
    evaluations: list[dict[str, float]] = field(default_factory=list)

    @property
    def k(self) -> int:
        """The most tags of an answer."""
        return min(self.recipe.prompt.max_tags, len(self.kit.vocabulary))

    @property
    def metric(self) -> str:
        """See `metric_of`."""
        return metric_of(self.recipe, len(self.kit.vocabulary))

    def resume(self, step: int) -> None:
        """Go on from what was judged up to `step`."""
        self.evaluations = [each for each in parse_evaluations(self.folder / EVALUATIONS) if each["step"] <= step]
        self._write()

    def __call__(self, trainer: Any, step: int) -> dict[str, float]:
        """The figures at `step`; the model is saved where it is the best so far."""
        is_main = trainer.is_world_process_zero()
        trainer.model.eval()
        figures = {"loss": self._loss(trainer)}
        figures["-loss"] = -figures["loss"]
        if not self.recipe.parallel.fsdp:
            figures |= _shared(self.figures(trainer.accelerator.unwrap_model(trainer.model)) if is_main else {})
        best = max((each[self.metric] for each in self.evaluations), default=float("-inf"))
        self.evaluations.append({"step": step, **figures})
        if figures[self.metric] > best:
            self._keep(trainer, is_main)
        if is_main:
            self._write()
        trainer.stopping.is_enough = self.is_enough
        return figures

    @property
    def is_enough(self) -> bool:
        """Whether the best is older than the recipe's patience."""
        patience = self.recipe.evaluation.patience
        return patience is not None and bool(self.evaluations) and len(self.evaluations) - 1 - self._best_place() >= patience

    def best(self) -> dict[str, float]:
        """The evaluation of the model that was kept."""
        return self.evaluations[self._best_place()]

    def figures(self, model: Any, *, own_memory: float | None = None) -> dict[str, float]:
        """Figures of the answers that serving would give, with another weight of the memory if one is given: up to k tags in the
        order in which they are written, without explanations. By confidence, which nobody has calibrated yet, the first place
        would go to tags that are easily spelt."""
        kit = self.kit if own_memory is None else self.kit.weighing(own_memory)
        predictions = list(map(_as_written, asyncio.run(self._predict(model, kit))))
        answers = answers_of(predictions, self.kit.vocabulary, self.k)
        training = Training(self.corpus.training_labels) if self.corpus.train is not None else None
        scores = scores_of(answers, list(map(list, self.corpus.gold)), len(self.kit.vocabulary), self.k, training)
        found = scores.figures(np.ones((1, len(scores))))
        return {name: float(found[name][0]) for name in (figure.format(k=self.k) for figure in FIGURES) if name in found}

    async def _predict(self, model: Any, kit: Kit) -> list[Prediction]:
        engine = LocalEngine(model, kit.tokenizer)
        try:
            suggester = kit.suggester(engine)
            questions = make_questions(self.corpus, suggester, k=self.k, at_most=True, explain=False)
            answered: dict[int, Prediction] = {}
            async for question, answer in predict(suggester, questions):
                if not isinstance(answer, Prediction):
                    raise answer
                answered[question.position] = answer
        finally:
            await engine.close()
        return [answered[position] for position in sorted(answered)]

    def _loss(self, trainer: Any) -> float:
        """Mean over the tokens of the validation rows' answers; every process computes all of it."""
        total, count = 0.0, 0
        with torch.no_grad():
            for index in range(len(self.batches)):
                inputs = {name: tensor.to(trainer.args.device) for name, tensor in self.batches[index].items()}
                labels = inputs["labels"][:, 1:]
                learned = labels != IGNORED
                given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
                with trainer.compute_loss_context_manager():
                    logits = trainer.model_wrapped(**given, learned=learned)
                total += float(answer_loss(logits, labels[learned], inputs))
                count += int(learned.sum())
        return total / max(1, count)

    def _best_place(self) -> int:
        values = [each[self.metric] for each in self.evaluations]
        return values.index(max(values))

    def _keep(self, trainer: Any, is_main: bool) -> None:
        """The adapter as the best one; the earlier best stays until the new one is whole."""
        part, best = self.folder / f"{BEST}.part", self.folder / BEST
        trainer.save_model(str(part), _internal_call=True)
        if is_main:
            old = self.folder / f"{BEST}.old"
            shutil.rmtree(old, ignore_errors=True)
            if best.exists():
                best.rename(old)
            part.rename(best)
            shutil.rmtree(old, ignore_errors=True)

    def _write(self) -> None:
        save_text("".join(json.dumps(each) + "\n" for each in self.evaluations), self.folder / EVALUATIONS)


def metric_of(recipe: Recipe, tags: int) -> str:
    """The figure that decides which adapter is kept, for a vocabulary of `tags` tags; larger is better."""
    if recipe.parallel.fsdp:
        return "-loss"
    k = min(recipe.prompt.max_tags, tags)
    return f"nDCG@{k}" if recipe.evaluation.metric == "nDCG" else recipe.evaluation.metric


def parse_evaluations(file: Path) -> list[dict[str, float]]:
    """The evaluations in a run's file, none where there is no file: it is only ever replaced as a whole."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def _as_written(prediction: Prediction) -> Prediction:
    order = sorted(range(len(prediction.tags)), key=prediction.places.__getitem__)
    return replace(
        prediction,
        tags=tuple(prediction.tags[place] for place in order),
        confidences=tuple(prediction.confidences[place] for place in order),
        places=tuple(range(1, len(order) + 1)),
    )


def _shared(figures: dict[str, float]) -> dict[str, float]:
    """What the first process found, in all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return figures
    box = [figures]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]

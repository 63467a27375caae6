"""What merchants said of suggestions as token ids to prefer and to avoid, in the forms that TRL's trainers take. It knows
examples and feedback, and no trainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from finetune.config import Recipe
from finetune.data import TrainingData
from finetune.examples import Example
from finetune.feedback import Feedback
from hangtag.answer import Answer
from hangtag.errors import InvalidData, InvalidVocabulary
from hangtag.lookup import tag_named
from hangtag.vocabulary import TagVocabulary

Ids = list[int]


def preferred(examples: Sequence[Example], data: TrainingData) -> list[dict[str, Ids]]:
    """For DPO: to a prompt the right tags, and those that were suggested instead. Feedback without a right tag, or with nothing
    but right ones, prefers nothing. Raises `InvalidData` where no row is left."""
    found = []
    for example, said in _said(examples, data):
        right, suggested = (_tags(names, example, data.vocabulary) for names in (said.right, said.suggested))
        if right and suggested and (said.rejected or said.added) and right != suggested:
            found.append(
                {
                    "prompt_ids": list(example.request.prompt),
                    "chosen_ids": _ids(example, right),
                    "rejected_ids": _ids(example, suggested),
                }
            )
    if not found:
        raise InvalidData("no feedback has both right tags and wrong ones; use method: kto or sft", field="data.feedback")
    return found


def graded(examples: Sequence[Example], data: TrainingData) -> list[dict[str, Any]]:
    """For KTO: to a prompt the right tags as a good answer, and the rejected ones as a bad one, whichever there are."""
    found: list[dict[str, Any]] = []
    for example, said in _said(examples, data):
        for names, is_good in ((said.right, True), (said.rejected, False)):
            if tags := _tags(names, example, data.vocabulary):
                prompt = list(example.request.prompt)
                found.append({"prompt_ids": prompt, "completion_ids": _ids(example, tags), "label": is_good})
    return found


def compared(recipe: Recipe, examples: Sequence[Example], data: TrainingData) -> Sequence[Mapping[str, Any]]:
    """The rows of the recipe's method, which is not sft. Raises `InvalidData` where none is left."""
    return (preferred if recipe.method == "dpo" else graded)(examples, data)


def in_order(rows: Sequence[Mapping[str, Any]], recipe: Recipe, processes: int = 1) -> tuple[list[dict[str, Any]], int]:
    """The rows of the whole run in the order in which they are seen, decided by the seed before the first step, and the steps."""
    per_step = recipe.batch.rows * recipe.batch.accumulation * processes
    steps = recipe.schedule.steps or max(1, round(recipe.schedule.epochs * len(rows) / per_step))
    order: list[int] = []
    epoch = 0
    while len(order) < steps * per_step:
        order += np.random.default_rng([recipe.seed, epoch]).permutation(len(rows)).tolist()
        epoch += 1
    return [dict(rows[place]) for place in order[: steps * per_step]], steps


def _said(examples: Sequence[Example], data: TrainingData) -> Iterator[tuple[Example, Feedback]]:
    rows = data.learn.test.rows
    return ((example, data.feedback[rows[example.position].listing.id]) for example in examples)


def _tags(names: Sequence[str], example: Example, vocabulary: TagVocabulary) -> list[int]:
    """Tags by their numbers, as many as an answer may have; unknown ones are left out, `finetune.data` has said what of them."""
    found: dict[int, None] = {}
    for name in names:
        try:
            found[tag_named(name, vocabulary)] = None
        except InvalidVocabulary:
            continue
    return list(found)[: example.request.rules.max_tags]


def _ids(example: Example, tags: Sequence[int]) -> Ids:
    """The tags and the empty line after them; what a model says then is not judged."""
    return example.request.codec.write(Answer(tuple(tags)))[:-1]

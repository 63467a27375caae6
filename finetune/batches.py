"""Batches of examples: which rows stand together in which step, and their tensors. It knows token ids and masks, no model.

All batches of a run are planned before its first step from the seed alone, so that a resumed run goes on with the batches that it
would have seen. An item of the data set is a whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from finetune.config import Recipe
from finetune.examples import Example
from finetune.rows import IGNORED
from hangtag.masks import Scratch

WIDTH_STEP = 16
"""Widths are multiples of it: few shapes, and matrices that the hardware likes."""
SORTED_TOGETHER = 32
"""Batches whose rows are drawn together and sorted by length, so that little is padded and chance still mixes rows."""


def plan(lengths: NDArray[np.int64], recipe: Recipe, processes: int = 1) -> list[NDArray[np.int64]]:
    """The rows of every batch of the run, in its order. With several processes a step takes one batch for each."""
    epochs, rest = divmod(recipe.schedule.epochs, 1)
    per_step = recipe.batch.accumulation * processes
    wanted = None if recipe.schedule.steps is None else recipe.schedule.steps * per_step
    batches: list[NDArray[np.int64]] = []
    epoch = 0
    while epoch < epochs + (rest > 0) if wanted is None else len(batches) < wanted:
        made = _epoch(lengths, recipe, np.random.default_rng([recipe.seed, epoch]))
        if wanted is None and epoch == epochs:
            made = made[: max(1, round(len(made) * rest))]
        batches += made
        epoch += 1
    if wanted is None:
        while missing := -len(batches) % per_step:  # the last step is whole
            batches += batches[:missing]
    return batches[:wanted]


def _epoch(lengths: NDArray[np.int64], recipe: Recipe, chance: np.random.Generator) -> list[NDArray[np.int64]]:
    order = chance.permutation(len(lengths))
    if recipe.sequences.packing:
        return _packed(lengths, order, recipe.sequences.length * recipe.batch.rows)
    budget = recipe.batch.tokens or recipe.batch.rows * recipe.sequences.length
    together = SORTED_TOGETHER * recipe.batch.rows
    batches = []
    for start in range(0, len(order), together):
        chunk = order[start : start + together]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        begun = 0
        for end in range(1, len(chunk) + 1):
            is_full = end - begun == recipe.batch.rows or end == len(chunk)
            if is_full or _width(int(lengths[chunk[end]])) * (end - begun + 1) > budget:
                batches.append(chunk[begun:end])
                begun = end
    return [batches[position] for position in chance.permutation(len(batches))]


def _packed(lengths: NDArray[np.int64], order: NDArray[np.int64], room: int) -> list[NDArray[np.int64]]:
    batches, begun, used = [], 0, 0
    for position, row in enumerate(order):
        if used + lengths[row] > room and position > begun:
            batches.append(order[begun:position])
            begun, used = position, 0
        used += int(lengths[row])
    return [*batches, order[begun:]]


def _width(length: int) -> int:
    return -(-length // WIDTH_STEP) * WIDTH_STEP


@dataclass(frozen=True, slots=True)
class _Sequence:
    ids: list[int]
    learned: slice
    masks: list[NDArray[np.uint32]]
    biases: list[tuple[NDArray[np.int32], NDArray[np.float32]]]


class Batches(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """A planned run over examples as tensors:

    input_ids, labels, attention_mask: (rows, width) int64; packed: input_ids, labels, position_ids (1, tokens)
    allowed: (learned tokens, ceil(V / 32)) int32, packed masks; with `loss: allowed` only
    bias_at: (2, N) int64, bias: (N,) float32: what the prior adds, learned token by token; with `prior: true` only
    """

    def __init__(self, examples: Sequence[Example], batches: Sequence[NDArray[np.int64]], recipe: Recipe, *, pad_id: int) -> None:
        self.examples, self.batches, self.recipe, self.pad_id = examples, batches, recipe, pad_id
        self._is_masked = recipe.loss == "allowed"
        self._scratch: Scratch | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        chance = np.random.default_rng([self.recipe.seed, index, 1])
        sequences = [self._sequence(self.examples[row], chance) for row in self.batches[index]]
        batch = self._packed(sequences) if self.recipe.sequences.packing else self._padded(sequences)
        if self._is_masked:
            words = np.concatenate([sequence.masks for sequence in sequences])
            batch["allowed"] = torch.from_numpy(words.view(np.int32))
        if self.recipe.prior:
            pairs = [pair for sequence in sequences for pair in sequence.biases]
            at = np.concatenate([np.full(len(tokens), place) for place, (tokens, _) in enumerate(pairs)])
            tokens = np.concatenate([tokens for tokens, _ in pairs])
            batch["bias_at"] = torch.from_numpy(np.stack([at, tokens]).astype(np.int64))
            batch["bias"] = torch.from_numpy(np.concatenate([bias for _, bias in pairs]))
        return batch

    def _sequence(self, example: Example, chance: np.random.Generator) -> _Sequence:
        tags = list(example.tags)
        if self.recipe.order == "sampled":
            chance.shuffle(tags)
        answer, learned = example.answer_ids(tags)
        prompt = example.request.prompt
        masks: list[NDArray[np.uint32]] = []
        biases = []
        if self._is_masked:
            constraint = example.constraint()
            if self._scratch is None:
                self._scratch = Scratch(constraint.compiled.tokenizer_size)
            state = constraint.start()
            for token in answer[:learned]:
                masks.append(constraint.mask(state, self._scratch).copy())
                if self.recipe.prior:
                    allowed = constraint.allowed(state)
                    some = np.flatnonzero(allowed.bias)
                    biases.append((allowed.tokens[some], allowed.bias[some]))
                state = constraint.advance(state, token)
        return _Sequence([*prompt, *answer], slice(len(prompt), len(prompt) + learned), masks, biases)

    def _padded(self, sequences: list[_Sequence]) -> dict[str, torch.Tensor]:
        width = _width(max(len(sequence.ids) for sequence in sequences))
        ids = np.full((len(sequences), width), self.pad_id, np.int64)
        labels = np.full((len(sequences), width), IGNORED, np.int64)
        mask = np.zeros((len(sequences), width), np.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.ids)] = sequence.ids
            labels[row, sequence.learned] = sequence.ids[sequence.learned]
            mask[row, : len(sequence.ids)] = 1
        return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels), "attention_mask": torch.from_numpy(mask)}

    def _packed(self, sequences: list[_Sequence]) -> dict[str, torch.Tensor]:
        ids = np.concatenate([sequence.ids for sequence in sequences])
        labels = np.full(len(ids), IGNORED, np.int64)
        begun = 0
        for sequence in sequences:
            learned = slice(begun + sequence.learned.start, begun + sequence.learned.stop)
            labels[learned] = ids[learned]
            begun += len(sequence.ids)
        positions = np.concatenate([np.arange(len(sequence.ids)) for sequence in sequences])
        arrays = {"input_ids": ids, "labels": labels, "position_ids": positions}
        return {name: torch.from_numpy(array[None].astype(np.int64)) for name, array in arrays.items()}

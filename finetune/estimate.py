"""What a run will need, from the shape of the model and a moment of multiplying on this device. It knows sizes; it loads no
weights.

Rough on purpose: memory within about a quarter, time within about a factor of two.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray

from finetune.batches import plan
from finetune.config import Recipe
from finetune.data import TrainingData
from finetune.examples import Example
from finetune.model import precision_of
from finetune.pairs import compared, in_order

ANSWERS = ("chosen_ids", "rejected_ids", "completion_ids")
"""Of a row of preferences: each is a sequence behind its prompt."""
TRAINED_BYTES = 16
"""A trained parameter in float32, its gradient, and Adam's two moments."""
EFFICIENCY = 0.4
"""Of the speed of one large matrix product, what training reaches."""
LIBRARIES_ON_CPU = 1.5
"""GiB; half of it is what they keep for every shape of a batch."""
PIECE_BYTES = {"none": 0.0, "8bit": 1.0, "nf4": 0.53}
"""A weight of a quantised layer, its constants included (double quantisation: 4.127 bits; buffers)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """`memory`: bytes by what they are for; `available`: bytes of the device; `seconds` of all steps, evaluations not counted."""

    parameters: int
    trained: int
    memory: dict[str, float]
    available: float
    device: str
    steps: int
    tokens: int
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether the sum is below what there is."""
        return sum(self.memory.values()) < self.available


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is read and learned: each sequence's tokens and learned tokens, (sequences,), and which of them are in each batch."""

    lengths: NDArray[np.int64]
    learned: NDArray[np.int64]
    batches: Sequence[NDArray[np.int64]]


def work_of(recipe: Recipe, examples: Sequence[Example], data: TrainingData) -> Work:
    """The batches of the run. Raises `InvalidData` where a method has nothing to learn from."""
    if recipe.method == "sft":
        lengths = np.array([example.length for example in examples], np.int64)
        learned = np.array([example.answer_ids(example.tags)[1] for example in examples], np.int64)
        return Work(lengths, learned, plan(lengths, recipe))
    rows, _ = in_order(compared(recipe, examples, data), recipe)
    answers = [[ids for name, ids in row.items() if name in ANSWERS] for row in rows]
    lengths = np.array([len(row["prompt_ids"]) + len(ids) for row, some in zip(rows, answers, strict=True) for ids in some])
    learned = np.array([len(ids) for some in answers for ids in some])
    each = recipe.batch.rows * len(answers[0])
    return Work(lengths, learned, np.split(np.arange(len(lengths)), range(each, len(lengths), each)))


def estimate(recipe: Recipe, model: Any, work: Work) -> Estimate:
    """For a model without weights (`skeleton`)."""
    config = model.config
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    inner = {name: module for name, module in linear.items() if "lm_head" not in name}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    in_layers = sum(module.weight.numel() for module in inner.values())
    rank, names = _adapter(recipe)
    targets = [module for name, module in inner.items() if name.rpartition(".")[2] in names]
    trained = rank * sum(module.in_features + module.out_features for module in targets)
    lengths, learned, batches = work.lengths, work.learned, work.batches
    widest = max(len(batch) * int(lengths[batch].max()) for batch in batches)
    answers = max(int(learned[batch].sum()) for batch in batches)
    is_gpu = torch.cuda.is_available()
    wide = 2 if precision_of(recipe) in ("bf16", "fp16") else 4
    kept = 2 if is_gpu and precision_of(recipe) == "bf16" and recipe.quantisation == "none" else 4  # see `load_model`
    piece = PIECE_BYTES[recipe.quantisation] or kept
    layers, hidden, inside = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    layer = widest * (14 * hidden + 5 * inside) * wide
    activations = layer + layers * widest * hidden * wide if recipe.checkpointing else layers * layer
    memory = {
        "base": in_layers * piece + (parameters - in_layers) * kept,
        "adapter and optimiser": float(trained * TRAINED_BYTES),
        "activations": float(activations),
        "logits of the answers": answers * config.vocab_size * 4.0 * 3,
        "libraries": (1.0 if is_gpu else LIBRARIES_ON_CPU) * 2**30,
    }
    tokens = sum(int(lengths[batch].sum()) for batch in batches)
    passes = 6 if recipe.checkpointing else 4  # forward twice the weights; backward to the inputs as much; weights are frozen
    passes += 0 if recipe.method == "sft" else 2  # forward without the adapter, to compare with
    operations = tokens * (in_layers * passes + trained * 6) + len(batches) * answers * config.vocab_size * hidden * 4
    return Estimate(
        parameters=parameters,
        trained=trained,
        memory=memory,
        available=float(torch.cuda.mem_get_info()[0] if is_gpu else psutil.virtual_memory().available),
        device=torch.cuda.get_device_name() if is_gpu else f"CPU, {torch.get_num_threads()} threads",
        steps=len(batches) // recipe.batch.accumulation,
        tokens=tokens,
        seconds=operations / (_speed(precision_of(recipe)) * EFFICIENCY),
    )


def _adapter(recipe: Recipe) -> tuple[int, Sequence[str]]:
    """Rank and targets of what is trained: the adapter that is gone on with has its own."""
    if recipe.base.adapter is None:
        return recipe.lora.rank, recipe.lora.targets
    settings = json.loads((recipe.base.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return int(settings["r"]), settings["target_modules"]


def _speed(precision: str) -> float:
    """Operations a second of a matrix product on this device, measured in a fraction of a second."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 4096 if device == "cuda" else 768
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(4):
        begun = time.perf_counter()
        product = matrix @ matrix
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - begun)
    return float(2 * size**3 / best)

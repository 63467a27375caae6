"""`AnswerTrainer`: transformers' Trainer with the loss over answers, plain or over the tokens that the decoder would allow. It
knows tensors and steps; rows, prompts and the judge of a model are handed in.

TRL's trainers compute logits for every token of a row and know of no state machine: here they are computed where answers are, the
only place where the decoder looks, and can be normalised over what it would let through.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy, pad
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from finetune.rows import IGNORED, unbatched
from hangtag.errors import EngineError

SAVE_SECONDS = 300.0
"""A killed run loses no more than about this."""
SAVES = 10
"""Checkpoints in a run, however short it is."""
_SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling")

Judge = Callable[[Any, int], dict[str, float]]
"""From a model and a step to its figures."""


def answers_only(causal: Any) -> None:
    """Gives the model's forward the argument `learned`, (rows, width - 1) bool: then it returns the logits of these places only,
    (learned, V). It stays one forward, so that wrappers for many devices see it. Raises `EngineError` for a model whose logits
    are not what its head gives."""
    if scaled := [name for name in _SCALED if getattr(causal.config, name, None) not in (None, 1, 1.0)]:
        raise EngineError(f"the base scales its logits ({scaled[0]}), which hangtag can't train; use another base")
    whole, layers, head = causal.forward, causal.get_decoder(), causal.get_output_embeddings()

    @functools.wraps(whole)
    def forward(*args: Any, learned: torch.Tensor | None = None, **inputs: Any) -> Any:
        if learned is None:
            return whole(*args, **inputs)
        given = {name: inputs.get(name) for name in ("input_ids", "attention_mask", "position_ids")}
        hidden = layers(**{name: value for name, value in given.items() if value is not None}, use_cache=False)
        return head(hidden.last_hidden_state[:, :-1][learned])

    causal.forward = forward


def unpacked(words: torch.Tensor, size: int) -> torch.Tensor:
    """Packed masks (P, W) int32 as (P, size) bool; tokens past the mask's end are not allowed."""
    octets = words.contiguous().view(torch.uint8).unsqueeze(-1)
    bits = (octets >> torch.arange(8, dtype=torch.uint8, device=words.device)) & 1
    flat = bits.flatten(1)[:, :size].bool()
    return flat if flat.shape[1] == size else pad(flat, (0, size - flat.shape[1]), value=False)


def answer_loss(logits: torch.Tensor, targets: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross entropies: over all tokens, or over those of `inputs["allowed"]` with the prior's biases added."""
    logits = logits.float()
    if "bias" in inputs:
        places, tokens = inputs["bias_at"]
        logits = logits.index_put((places, tokens), inputs["bias"], accumulate=True)
    if "allowed" in inputs:
        logits = logits.masked_fill(~unpacked(inputs["allowed"], logits.shape[1]), float("-inf"))
    return cross_entropy(logits, targets, reduction="sum")


class Judged(Trainer):  # type: ignore[misc]
    """A trainer that asks `judge` every so many steps and at the end, saves then and in between, and stops after the step under
    way when it is told to. Stands before the trainer that it changes; without a judge it only trains, and saves nothing."""

    def __init__(self, model: Any, *, judge: Judge | None, every: int, watch: TrainerCallback, **options: Any) -> None:
        self._judge = judge
        self.stopping = _Steps(every)
        super().__init__(model=model, callbacks=[watch] if judge is None else [self.stopping, watch], **options)
        self.remove_callback(PrinterCallback)  # whoever looks on is told by `watch`

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """What the judge says of the model as it is now."""
        assert self._judge is not None, "nobody else asks for an evaluation"
        metrics = {f"eval_{name}": value for name, value in self._judge(self, self.state.global_step).items()}
        self.model.train()
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class AnswerTrainer(Judged):
    """Items of the data set are whole batches, in their planned order."""

    def __init__(self, model: Any, **options: Any) -> None:
        answers_only(model.get_base_model())
        super().__init__(model, data_collator=unbatched, **options)
        self.model_accepts_loss_kwargs = True  # `compute_loss` divides by all tokens of a step

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs["labels"][:, 1:]
        learned = labels != IGNORED
        given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
        logits = model(**given, learned=learned)
        total = answer_loss(logits, labels[learned], inputs)
        if num_items_in_batch is None:
            loss = total / learned.sum()
        else:
            loss = total / num_items_in_batch * (self.accelerator.num_processes if self.args.average_tokens_across_devices else 1)
        return (loss, {"logits": logits}) if return_outputs else loss


def anywhere(device: torch.device, *flags: bool) -> list[bool]:
    """Each flag as it is in any of the processes that train: clocks and signals differ, and all must save and stop together."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return list(flags)
    said = torch.tensor(flags, dtype=torch.int32, device=device)
    torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX)
    return [bool(flag) for flag in said.tolist()]


class _Steps(TrainerCallback):  # type: ignore[misc]
    """When to judge and to save, and whether to stop."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._saved = time.monotonic()
        self.interrupted = False
        self.is_enough = False

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        at_end = state.global_step >= state.max_steps
        control.should_evaluate = at_end or state.global_step % self._every == 0
        due = state.global_step % max(1, state.max_steps // SAVES) == 0 or time.monotonic() - self._saved > SAVE_SECONDS
        due, self.interrupted = anywhere(args.device, due, self.interrupted)
        control.should_save = at_end or due or control.should_evaluate or self.interrupted
        control.should_log = control.should_log or at_end
        control.should_training_stop = at_end or self.interrupted
        if control.should_save:
            self._saved = time.monotonic()

    def on_evaluate(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = control.should_training_stop or self.is_enough

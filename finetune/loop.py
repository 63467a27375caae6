"""One training loop for base weights and adapters: transformers' Trainer, with the loss computed where answers are and batches
by token budget. It knows token rows, not where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, Trainer, TrainingArguments

from finetune.checkpoints import last_whole
from finetune.rows import IGNORED, TokenBatches, TokenRows, unbatched


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """`budget`: tokens a batch, padding included; `passes`: times that every row is seen;
    `max_steps`: end after so many batches instead, the schedule of the learning rate made for them;
    `compile`: the layers, once a batch width, which doubles the speed on a CPU but takes minutes."""

    learning_rate: float
    passes: float = 1.0
    budget: int = 6144
    weight_decay: float = 0.05
    warmup_steps: int = 100
    save_steps: int = 250
    seed: int = 0
    max_steps: int = -1
    compile: bool = True


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """Computes logits only at the positions that are learned: the prompt is half of a row, and the vocabulary is wide."""

    def __init__(self, model: Any, *, compiled: bool, **options: Any) -> None:
        super().__init__(model=model, **options)
        self._causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._layers = self._causal.model
        if compiled:
            torch._dynamo.config.recompile_limit = 32
            self._layers = torch.compile(self._causal.model, dynamic=False)

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any) -> Any:
        labels = inputs["labels"][:, 1:]
        learned = labels != IGNORED
        with self.accelerator.autocast():  # accelerate does so in the model's forward only, which is gone around here
            hidden = self._layers(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
            logits = self._causal.lm_head(hidden[:, :-1][learned])
        loss = cross_entropy(logits.float(), labels[learned])
        return (loss, {"logits": logits}) if return_outputs else loss


def train(
    model: PreTrainedModel, rows: TokenRows, output: Path, settings: LoopSettings, *, pad_id: int
) -> list[dict[str, float]]:
    """Train `model` in place, checkpoints under `output`; picks up the last checkpoint there is. Returns the log of losses."""
    arguments = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=1,
        num_train_epochs=settings.passes,
        max_steps=settings.max_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.05},
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=50,
        save_steps=settings.save_steps,
        save_total_limit=2,
        seed=settings.seed,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        report_to=[],
        disable_tqdm=True,
    )
    batches = TokenBatches(rows, budget=settings.budget, pad_id=pad_id, seed=settings.seed)
    trainer = AnswerTrainer(model, compiled=settings.compile, args=arguments, train_dataset=batches, data_collator=unbatched)
    last = last_whole(output)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    return [entry for entry in trainer.state.log_history if "loss" in entry]

"""What a recipe means to transformers' trainers, ours and TRL's: their arguments. It knows settings, and no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from finetune.config import Recipe
from finetune.model import precision_of


def arguments_of(recipe: Recipe, output: Path, steps: int) -> dict[str, Any]:
    """For `TrainingArguments` or a subclass of it: `steps` steps, checkpoints in `output`, where the trainer's callback says when
    to judge and to save."""
    schedule, precision, parallel = recipe.schedule, precision_of(recipe), recipe.parallel
    spread: dict[str, Any] = {}
    if parallel.fsdp:
        config: dict[str, Any] = {"activation_checkpointing": recipe.checkpointing}
        if parallel.wrap:
            config["transformer_layer_cls_to_wrap"] = list(parallel.wrap)
        spread = {"fsdp": "full_shard auto_wrap", "fsdp_config": config}
    return {
        "output_dir": str(output),
        "gradient_accumulation_steps": recipe.batch.accumulation,
        "max_steps": steps,
        "learning_rate": schedule.learning_rate,
        "lr_scheduler_type": schedule.kind if schedule.kind != "constant" else "constant_with_warmup",
        "warmup_steps": round(steps * schedule.warmup),
        "weight_decay": schedule.weight_decay,
        "max_grad_norm": schedule.max_grad_norm,
        "optim": schedule.optimiser,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": recipe.checkpointing and not parallel.fsdp,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if recipe.checkpointing else None,
        "ddp_find_unused_parameters": False,
        "logging_steps": max(1, steps // 100),
        "eval_strategy": "no",
        "save_strategy": "no",
        "save_total_limit": 2,
        "seed": recipe.seed,
        "remove_unused_columns": False,
        "dataloader_num_workers": 2 if torch.cuda.is_available() else 0,
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
        **spread,
    }

"""Training of the bundled model's LoRA adapter. It knows base weights that `finetune/pretrain.py` made, and nothing of
bundles.
"""

from __future__ import annotations

import json
import logging
from itertools import chain
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen3ForCausalLM, set_seed

from eval.datasets import convert
from finetune.loop import LoopSettings, train
from finetune.mini import AdapterTraining
from finetune.pretrain import LONGEST_ROW, PLAIN_TEXT_SETS, row_encoder, synthetic_rows
from finetune.real import training_rows
from finetune.rows import TokenRows
from hangtag.vocabulary import TagVocabulary
from serve.tokenizer import HuggingFaceTokenizer

log = logging.getLogger("finetune.train")

RANK = 16


def lora(model: Qwen3ForCausalLM) -> PeftModel:
    """LoRA on every linear layer."""
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=layers, task_type="CAUSAL_LM"))


def train_adapter(
    settings: AdapterTraining, base: Path, vocabulary: TagVocabulary, domains: Path, data: Path | None, folder: Path
) -> Path:
    """The adapter over the weights in `base`, in `folder`, and where it is; what an interrupted call left there is gone on with.
    `data` is the directory of the public sets; without it only synthetic rows are learned from."""
    set_seed(settings.seed)
    tokenizer = HuggingFaceTokenizer.load(base)
    encoder = row_encoder(tokenizer, vocabulary)
    real = [row for name in PLAIN_TEXT_SETS if data for row in training_rows(convert(name, data).rows, vocabulary)]
    synthetic = synthetic_rows(vocabulary, domains, count=settings.examples, seed=settings.seed)
    rows = TokenRows.collect(map(encoder.encode, chain(synthetic, real * settings.real_passes)), longest=LONGEST_ROW)
    log.info("%d synthetic and %d real rows (%d times), %d fit", settings.examples, len(real), settings.real_passes, len(rows))
    model = lora(Qwen3ForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager"))
    loop = LoopSettings(
        learning_rate=settings.learning_rate,
        weight_decay=0.0,
        seed=settings.seed,
        max_steps=settings.steps or -1,
        compile=False,
    )
    losses = train(model, rows, folder / "checkpoints", loop, pad_id=tokenizer.transformers.pad_token_id)
    model.to(torch.bfloat16).save_pretrained(folder / "adapter", safe_serialization=True)
    (folder / "losses.json").write_text(json.dumps(losses, indent=1))
    log.info("loss %s -> %s; adapter in %s", losses[:1], losses[-1:], folder / "adapter")
    return folder / "adapter"

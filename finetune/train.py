"""Training of the bundled model's LoRA adapter, and the bundle around it. It knows base weights that `finetune/pretrain.py` made.

python -m finetune.train --base runs/base/base --output runs/adapter [--data DIR]
python -m finetune.train --base runs/base/base --output runs/adapter --export models/hangtag-mini
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from itertools import chain
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen3ForCausalLM, set_seed

from eval.datasets import convert
from finetune.loop import LoopSettings, train
from finetune.pretrain import CONTEXT, LONGEST_ROW, PLAIN_TEXT_SETS, row_encoder, synthetic_rows
from finetune.real import training_rows
from finetune.rows import TokenRows
from finetune.synthesize import LANGUAGES
from hangtag.bundle import write_manifest
from hangtag.formats import read_vocabulary
from prompts.render import TEMPLATES
from serve.tokenizer import HuggingFaceTokenizer

log = logging.getLogger("finetune.train")

RANK = 16
REAL_PASSES = 2
"""Times that each real row stands among the rows of a pass."""

SERVED_CONTEXT = 512
"""Longer prompts than training's longest row are read, but not without end."""

assert SERVED_CONTEXT <= CONTEXT

WEIGHTS = {"own_candidates": 1.0, "own_stated": 11.0, "other_candidates": 16.0, "interests": 0.5, "evidence": 10.0}


def lora(model: Qwen3ForCausalLM) -> PeftModel:
    """LoRA on every linear layer."""
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=layers, task_type="CAUSAL_LM"))


def export(base: Path, adapter: Path, vocabulary: Path, bundle: Path, *, version: str) -> None:
    """Copy base, adapter, prompt and vocabulary into `bundle` and tie them by a manifest; other files there stay."""
    for name, source in (("base", base), ("adapter", adapter)):
        target = bundle / name
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
        for file in sorted(source.iterdir()):
            if file.suffix in {".json", ".safetensors", ".jinja"}:
                shutil.copy(file, target / file.name)
    configuration = bundle / "adapter" / "adapter_config.json"
    settings = {**json.loads(configuration.read_text()), "base_model_name_or_path": "../base"}
    configuration.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    shutil.copy(TEMPLATES / "mini.j2", bundle / "prompt.j2")
    if vocabulary.resolve() != (bundle / "vocabulary.csv").resolve():
        shutil.copy(vocabulary, bundle / "vocabulary.csv")
    fields = {"name": bundle.name, "version": version, "languages": LANGUAGES, "context": SERVED_CONTEXT, "weights": WEIGHTS}
    write_manifest(bundle, fields, {"base": "base", "adapter": "adapter", "prompt": "prompt.j2", "vocabulary": "vocabulary.csv"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, default=Path("models/hangtag-mini/vocabulary.csv"))
    parser.add_argument("--domains", type=Path, default=Path(__file__).parent / "domains.csv")
    parser.add_argument("--data", type=Path, help="directory of the public sets; without it only synthetic rows")
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--max-steps", type=int, default=-1, help="end after so many batches, not after all rows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--export", type=Path, metavar="BUNDLE", help="train nothing: write the bundle of what was trained")
    parser.add_argument("--version", default="0.1.0")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    adapter: Path = options.output / "adapter"
    if options.export:
        export(options.base, adapter, options.vocabulary, options.export, version=options.version)
        return
    set_seed(options.seed)
    vocabulary = read_vocabulary(options.vocabulary)
    tokenizer = HuggingFaceTokenizer.load(options.base)
    encoder = row_encoder(tokenizer, vocabulary)
    real = [
        row for name in PLAIN_TEXT_SETS if options.data for row in training_rows(convert(name, options.data).rows, vocabulary)
    ]
    synthetic = synthetic_rows(vocabulary, options.domains, count=options.examples, seed=options.seed)
    rows = TokenRows.collect(map(encoder.encode, chain(synthetic, real * REAL_PASSES)), longest=LONGEST_ROW)
    log.info("%d synthetic and %d real rows (%d times), %d fit", options.examples, len(real), REAL_PASSES, len(rows))
    model = lora(Qwen3ForCausalLM.from_pretrained(options.base, dtype=torch.float32, attn_implementation="eager"))
    settings = LoopSettings(
        learning_rate=options.learning_rate, weight_decay=0.0, seed=options.seed, max_steps=options.max_steps, compile=False
    )
    losses = train(model, rows, options.output / "checkpoints", settings, pad_id=tokenizer.transformers.pad_token_id)
    model.to(torch.bfloat16).save_pretrained(adapter, safe_serialization=True)
    (options.output / "losses.json").write_text(json.dumps(losses, indent=1))
    log.info("loss %s -> %s; adapter in %s", losses[:1], losses[-1:], adapter)


if __name__ == "__main__":
    main()

"""A bundle that is real in every part and tiny: tokenizer, random weights and adapter, prompt, vocabulary, manifest. It knows
what it wrote, so that tests can alter it; beside it stand engines that fail or never answer.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from hangtag.bundle import Bundle, write_manifest
from hangtag.errors import EngineError
from prompts.render import TEMPLATES
from serve.candidates import Candidates
from serve.engines.engine import Engine, Generation, GenerationRequest
from serve.suggester import Suggester
from serve.tokenizer import HuggingFaceTokenizer

VOCABULARY = """\
id,facet,en,zh,aliases_en,aliases_zh
category/headphones,category,Headphones,耳机,earphones,蓝牙耳机
category/shirts,category,Shirts,衬衫,,
category/shoes,category,Shoes,鞋,sneakers,
material/linen,material,Linen,亚麻,flax,
material/cotton,material,Cotton,棉,,
feature/noise-cancelling,feature,Noise cancelling,主动降噪,ANC,降噪
feature/waterproof,feature,Waterproof,防水,,
season/summer,season,Summer,夏季,hot days,
"""
SENTENCES = (
    "Linen camp shirt, relaxed fit. A breathable shirt for hot days.",
    "Wireless headphones with noise cancelling and a long battery life.",
    "Waterproof running shoes for summer, cotton lining.",
    "高品质蓝牙耳机，降噪效果显著",
    "夏季亚麻衬衫，透气舒适，适合旅行。",
    "文中提到“蓝牙耳机”和“降噪”。",
    "\nHeadphones\n耳机\nShirts\n衬衫\nLinen\n亚麻\n",
)
CONTEXT = 512
CHINESE = "高品质蓝牙耳机，降噪效果显著"


def build_bundle(directory: Path, *, adapter: bool = True) -> Path:
    """Write the bundle "tiny" into `directory`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from transformers.utils import logging

    from finetune.tokenizer import train_tokenizer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = directory / "base"
    train_tokenizer(SENTENCES * 3, base, size=600)
    tokenizer = HuggingFaceTokenizer.load(base)
    config = Qwen3Config(
        vocab_size=tokenizer.size,
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=128,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        tie_word_embeddings=True,
        max_position_embeddings=CONTEXT,
        eos_token_id=tokenizer.eos_id,
        pad_token_id=tokenizer.transformers.pad_token_id,
        bos_token_id=None,
    )
    logging.disable_progress_bar()
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(base)
    parts = {"base": "base", "prompt": "mini.j2", "vocabulary": "vocabulary.csv"}
    if adapter:
        lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(model, lora).save_pretrained(directory / "adapter")
        parts["adapter"] = "adapter"
    shutil.copy(TEMPLATES / "mini.j2", directory / "mini.j2")
    (directory / "vocabulary.csv").write_text(VOCABULARY, encoding="utf-8")
    fields = {
        "name": "tiny",
        "version": "1",
        "languages": ["en", "zh"],
        "context": CONTEXT,
        "weights": {"own_candidates": 1.0, "own_stated": 1.0, "other_candidates": 1.0, "interests": 1.0, "evidence": 1.0},
    }
    write_manifest(directory, fields, parts)
    return directory


def adapter_like(adapter: Path, directory: Path, *, scale: float) -> Path:
    """A copy of an adapter whose weights are `scale` times as large."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, directory)
    weights = directory / "adapter_model.safetensors"
    save_file({name: scale * tensor for name, tensor in load_file(weights).items()}, weights)
    return directory


def build_adapter(base: Path, directory: Path, *, seed: int, **shape: int) -> Path:
    """Write a random adapter for the model in `base`, or for one of another `shape`, which it does not fit."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(base)
    config.update(shape)
    lora = LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_config(config), lora).save_pretrained(directory)
    return directory


def suggester_with(engine: Engine, directory: Path) -> Suggester:
    """A suggester of the bundle in `directory` whose model is run by `engine`."""
    bundle = Bundle.load(directory)
    assert bundle.base is not None
    vocabulary = bundle.vocabulary
    return Suggester(bundle, vocabulary, HuggingFaceTokenizer.load(bundle.base), engine, Candidates(vocabulary))


class FailingEngine:
    """Fails at every request, and counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def generate(self, request: GenerationRequest) -> Generation:
        raise EngineError("out of memory; use a smaller batch")

    async def close(self) -> None:
        self.closed += 1


class SilentEngine:
    """Never answers; knows how many requests it has and how many were cancelled."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0

    async def generate(self, request: GenerationRequest) -> Generation:
        self.asked += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError("nobody sets the event")

    async def close(self) -> None:
        pass

"""The loop that trains the bundled model's weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from finetune import loop
from finetune.loop import LoopSettings, train
from finetune.rows import TokenRows


def model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=40, num_key_value_heads=1, head_dim=16, pad_token_id=1, **shape))


def rows() -> TokenRows:
    return TokenRows.collect((([2, 3, number % 7 + 4], [number % 7 + 14, 0]) for number in range(200)), longest=16)


def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path):
    settings = LoopSettings(3e-3, passes=30, budget=256, warmup_steps=5, save_steps=2, max_steps=4, compile=False)
    losses = train(model(), rows(), tmp_path, settings, pad_id=1)
    for number, missing in ((90, "model.safetensors"), (91, "trainer_state.json")):
        broken = tmp_path / f"checkpoint-{number}"
        shutil.copytree(tmp_path / "checkpoint-4", broken)
        (broken / missing).unlink()
        (broken / "trainer_state.json").unlink(missing_ok=True)  # it is written last
    assert train(model(), rows(), tmp_path, settings, pad_id=1) == losses


def test_products_are_made_in_16_bits_of_weights_in_32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kinds = set()

    class Watched(loop.AnswerTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, **options):
            loss, found = super().compute_loss(model, inputs, return_outputs=True, **options)
            kinds.add(found["logits"].dtype)
            return loss

    monkeypatch.setattr(loop, "AnswerTrainer", Watched)
    trained = model()
    losses = train(trained, rows(), tmp_path, LoopSettings(3e-3, passes=30, budget=256, warmup_steps=5, compile=False), pad_id=1)
    assert kinds == {torch.bfloat16}
    assert {weight.dtype for weight in trained.parameters()} == {torch.float32}
    assert losses[-1]["loss"] < losses[0]["loss"] / 2

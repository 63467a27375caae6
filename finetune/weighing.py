"""How often a memory's log-odds should count beside a tuned model: several weights, each tried on the validation rows through the
production decoder. It knows a judge and a folder, and nothing of training.

A small model that learnt a shop in a few hundred steps mostly knows less of it than the memory does; a large one may know more.
Neither is known beforehand, so neither is taken for granted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finetune.judge import BEST, Judge
from hangtag.files import save_json

TRIED = (0.0, 8.0, 4.0, 2.0, 1.0)
"""0: where the memory knows the shop, it is believed and the model only breaks ties. Of equals the first is taken."""

WEIGHED = "memory_weight.json"


def weigh_memory(judge: Judge, model: Any, folder: Path) -> dict[str, float]:
    """The metric of the best adapter in `folder` at each of TRIED, by weight; all figures are kept in a file. `model` has that
    adapter's shape, and afterwards its weights."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(folder / BEST / "adapter_model.safetensors"))
    model.eval()
    found = {f"{weight:g}": judge.figures(model, own_memory=weight) for weight in TRIED}
    save_json({"metric": judge.metric, "found": found}, folder / WEIGHED)
    return {weight: figures[judge.metric] for weight, figures in found.items()}


def best_weight(folder: Path) -> tuple[float, dict[str, float]] | None:
    """The best of the weights that were tried in a run's folder and the figures with it, None where none were."""
    file = folder / WEIGHED
    if not file.exists():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    metric, found = content["metric"], content["found"]
    best = max(found, key=lambda weight: found[weight][metric])
    return float(best), found[best]

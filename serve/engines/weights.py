"""A bundle's weights as a transformers model, with a LoRA adapter merged into it. It knows no request, and runs nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from hangtag.bundle import Bundle
from hangtag.errors import EngineError


def load_model(bundle: Bundle, adapter: Path | None, *, device: str | None = None) -> PreTrainedModel:
    """The bundle's base with an adapter (a directory in PEFT's files; None for the base alone), on a GPU where there is one.
    Raises `EngineError`."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    source = str(bundle.base) if bundle.base is not None else bundle.hub
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            source,
            revision=bundle.revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if missing := info["missing_keys"]:
            raise EngineError(f"{bundle.directory}: the base has no weights for {min(missing)}; it would answer at random")
        if adapter is not None:
            from peft import PeftModel

            with warnings.catch_warnings():
                warnings.filterwarnings("error", "Found missing adapter keys")
                model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        return model.to(device)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, UserWarning) as error:
        raise EngineError(f"{adapter or bundle.directory}: the model can't be loaded: {error}") from error

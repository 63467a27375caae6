"""The model under training: a base from a directory or a hub, quantised or not, with a LoRA adapter, new or continued. It knows
weights and devices, and no data.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from finetune.config import Base, Recipe
from hangtag.bundle import MANIFEST, Bundle, hash_path
from hangtag.errors import EngineError, HangtagError, InvalidBundle, InvalidSettings
from serve.tokenizer import BASE_FILES

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class BaseFiles:
    """A base on this machine: its directory, and where it comes from a hub, its id and commit."""

    directory: Path
    hub: str | None = None
    revision: str | None = None


def find_base(base: Base, *, weights: bool = True) -> BaseFiles:
    """The base's files, downloaded where it is a hub's (without `weights`, the small ones). Raises `EngineError`."""
    directory = Path(base.model)
    if directory.is_dir():
        if not (directory / "config.json").exists():
            raise EngineError(f"{directory}: base.model is no model: there is no config.json")
        return BaseFiles(directory)
    if directory.is_absolute():
        raise EngineError(f"{directory}: base.model does not exist; give a directory, or a hub id such as Qwen/Qwen3-4B")
    from huggingface_hub import snapshot_download

    try:
        patterns = [*BASE_FILES, *(WEIGHTS if weights else ())]
        found = Path(snapshot_download(base.model, revision=base.revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client lets through errors of several libraries
        raise EngineError(
            f"base.model {base.model!r} can't be had from the hub: {type(error).__name__}: {str(error).rstrip('.')}; check the"
            " network and HF_TOKEN, or download it elsewhere and give its directory"
        ) from error
    return BaseFiles(found, base.model, found.name)


def precision_of(recipe: Recipe) -> str:
    """bf16, fp16 or fp32: what was said, or what the hardware multiplies fast."""
    if recipe.precision != "auto":
        return recipe.precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    fast = torch.cpu._is_amx_tile_supported() or getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return "bf16" if fast else "fp32"


def load_model(recipe: Recipe, files: BaseFiles) -> PeftModel:
    """The base with the adapter that is trained. Raises `EngineError`, `InvalidBundle` for an adapter of another base."""
    if recipe.base.adapter is not None:
        check_adapter(recipe.base.adapter, files.directory)
    dtype = torch.bfloat16 if torch.cuda.is_available() and precision_of(recipe) == "bf16" else torch.float32
    options: dict[str, Any] = {"dtype": dtype}
    if recipe.attention != "auto":
        options["attn_implementation"] = recipe.attention
    if recipe.quantisation != "none":
        options["quantization_config"] = _quantisation(recipe, dtype)
        if torch.cuda.is_available():
            options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(files.directory), use_safetensors=True, trust_remote_code=False, local_files_only=True, **options
        )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise EngineError(f"{files.directory}: the base can't be loaded: {error}") from error
    model.config.use_cache = False
    if recipe.quantisation != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=recipe.checkpointing)
    elif recipe.checkpointing:
        model.enable_input_require_grads()
    if recipe.base.adapter is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys")
            try:
                return PeftModel.from_pretrained(model, str(recipe.base.adapter), is_trainable=True)
            except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, UserWarning) as error:
                raise EngineError(f"{recipe.base.adapter}: the adapter can't be loaded: {error}") from error
    lora = recipe.lora
    try:
        return get_peft_model(
            model,
            LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list(lora.targets),
                task_type="CAUSAL_LM",
            ),
        )
    except ValueError as error:
        raise InvalidSettings(f"lora.targets: {error}", field="lora.targets") from error


def _quantisation(recipe: Recipe, dtype: torch.dtype) -> BitsAndBytesConfig:
    if recipe.quantisation == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=dtype if recipe.parallel.fsdp else torch.uint8,  # FSDP shards tensors of one type only
    )


def check_adapter(adapter: Path, base: Path) -> None:
    """Raises `InvalidBundle` where the adapter was made for another base: by the hashes of the bundle that it lies in, and by the
    shapes of its matrices."""
    try:
        given = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, ValueError, SafetensorError) as error:
        raise InvalidBundle(f"{adapter}: no adapter here (adapter_config.json, adapter_model.safetensors): {error}") from error
    if (adapter.parent / MANIFEST).exists():
        bundle = Bundle.load(adapter.parent)
        if bundle.base is not None and hash_path(bundle.base) != hash_path(base):
            raise InvalidBundle(f"{adapter}: the adapter was made for {bundle.base}, not for {base}; change base.model")
    modules = dict(skeleton(base).named_modules())
    for name, shape in shapes.items():
        module = modules.get(name.removeprefix("base_model.model.").rpartition(".lora_")[0])
        side = {"A": "in_features", "B": "out_features"}.get(name.rpartition(".lora_")[2][:1])
        if module is None or (side is not None and getattr(module, side, None) != shape[1 if side == "in_features" else 0]):
            made_for = given.get("base_model_name_or_path")
            raise InvalidBundle(
                f"{adapter}: the adapter does not fit {base}: {name} {tuple(shape)}; it was made for {made_for!r}; change"
                " base.model or base.adapter"
            )


def skeleton(directory: Path) -> Any:
    """The base without weights, for counting and comparing. Raises `EngineError`."""
    try:
        config = AutoConfig.from_pretrained(str(directory), trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(f"{directory}: the base's configuration can't be used: {error}") from error


def out_of_memory(error: BaseException, recipe: Recipe) -> HangtagError | None:
    """The error that says what to do, where `error` is one of memory."""
    text = str(error)
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "not enough memory" in text or "out of memory" in text
    if not memory:
        return None
    rows, less = recipe.batch.rows, []
    if rows > 1:
        less.append(f"batch.rows={max(1, rows // 2)} with batch.accumulation={recipe.batch.accumulation * 2}")
    if recipe.quantisation == "none":
        less.append("quantisation=nf4")
    if not recipe.checkpointing:
        less.append("checkpointing=true")
    less.append(f"sequences.length={max(64, recipe.sequences.length // 2)}")
    return EngineError(
        f"not enough memory for this recipe ({text.splitlines()[0] if text else 'no more says'}); try {', or '.join(less)}"
    )

"""How vLLM is started in this process: the arguments that make it what hangtag needs, and what it says of itself. It knows
vLLM's names, no request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from hangtag.bundle import Bundle
from hangtag.errors import EngineError, HangtagError, InvalidBundle, InvalidSettings
from serve.engines.adapters import MOST_ADAPTERS
from serve.engines.sampled import COMPARED

ADAPTERS_A_STEP = 4
"""Adapters whose requests can be in one step; requests for more wait their turn."""
CPU_CACHE_BYTES = 1 << 30
"""Of prompts and answers, unless VLLM_CPU_KVCACHE_SPACE or the options say otherwise: vLLM would take 92% of a machine's memory,
and not start where others have some of it."""
SMALLEST_CPU_BLOCK = 32
"""Tokens; vLLM's own choice for CPUs is 128, and of a prompt only whole blocks come from the cache."""
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
DEFAULT_RANK = 16
OURS = frozenset(
    {"additional_config", "enable_lora", "enable_prefix_caching", "logits_processors", "logprobs_mode", "max_logprobs", "model"}
    | {"revision", "skip_tokenizer_init", "speculative_config", "tokenizer", "trust_remote_code"}
)
"""Arguments of vLLM that decide whether answers are what they should be."""


class VllmMetrics:
    """vLLM's of the metrics of this process."""

    def collect(self) -> Iterator[Any]:
        from prometheus_client import REGISTRY

        return (metric for metric in REGISTRY.collect() if metric.name.startswith("vllm:"))


async def start(arguments: dict[str, Any]) -> Any:
    """An `AsyncLLM` of the running loop. Raises `InvalidSettings`, `EngineError`."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise InvalidSettings(
            f"the engine vllm needs vLLM ({error}); install it (pip install 'hangtag[vllm]'), or use --engine local or remote",
            field="engine",
        ) from error
    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    except HangtagError:
        raise
    except TypeError as error:
        raise InvalidSettings(f"vLLM does not take the options: {error}", field="engine_options") from error
    except Exception as error:
        raise EngineError(f"vLLM can't start: {error}") from error


def refuse_ours(options: Mapping[str, Any]) -> None:
    """Raises `InvalidSettings` for an argument that is not a person's to choose."""
    if refused := sorted(OURS & set(options)):
        raise InvalidSettings(f"vLLM's {refused[0]} is set by hangtag; leave it out of the options", field="engine_options")


def arguments(bundle: Bundle, vocabularies: Path, options: Mapping[str, Any], merged: Path | None = None) -> dict[str, Any]:
    """What vLLM is started with for a bundle. `merged` are weights with the bundle's adapter in them: the fastest, and then there
    is no room for other adapters. Raises `InvalidBundle`."""
    from serve.decoding.vllm_vocabularies import DIRECTORY_OPTION

    gpu = torch.cuda.is_available()
    base = str(bundle.base) if bundle.base is not None else bundle.hub
    adapters = {
        "enable_lora": True,
        "max_loras": ADAPTERS_A_STEP,
        "max_cpu_loras": MOST_ADAPTERS,
        "max_lora_rank": _rank(bundle),
    }
    return {
        "model": base if merged is None else str(merged),
        "revision": bundle.revision if merged is None else None,
        "tokenizer": base,
        "tokenizer_revision": bundle.revision,
        "max_model_len": bundle.context,
        "dtype": "bfloat16" if gpu else "float32",
        "block_size": None if gpu else SMALLEST_CPU_BLOCK,
        **({} if gpu or _says_memory(options) else {"kv_cache_memory_bytes": CPU_CACHE_BYTES}),
        "load_format": "safetensors",
        "trust_remote_code": False,
        "generation_config": "vllm",
        "seed": 0,
        "enable_prefix_caching": True,
        "logits_processors": ["serve.decoding.vllm:HangtagLogitsProcessor"],
        "logprobs_mode": "processed_logprobs",
        "max_logprobs": COMPARED,
        **(adapters if merged is None else {}),
        "additional_config": {DIRECTORY_OPTION: str(vocabularies.resolve())},
        **options,
    }


def _says_memory(options: Mapping[str, Any]) -> bool:
    """Whether a person says how much memory vLLM may take."""
    return "VLLM_CPU_KVCACHE_SPACE" in os.environ or "gpu_memory_utilization" in options


def merge(bundle: Bundle, directory: Path) -> None:
    """Write a bundle's base with its adapter in it. Raises `EngineError`."""
    from serve.engines.weights import load_model

    model = load_model(bundle, bundle.adapter, device="cpu")
    try:
        model.to(torch.bfloat16 if torch.cuda.is_available() else torch.float32).save_pretrained(directory)
    except OSError as error:
        raise EngineError(f"{directory}: the merged weights can't be written: {error.strerror}") from error


def _rank(bundle: Bundle) -> int:
    """The rank that vLLM makes room for."""
    if bundle.adapter is None:
        return DEFAULT_RANK
    try:
        config = json.loads((bundle.adapter / "adapter_config.json").read_bytes())
        rank = max(DEFAULT_RANK, int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values()))
        return next(known for known in LORA_RANKS if known >= rank)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise InvalidBundle(f"{bundle.adapter}: adapter_config.json has no rank (r) that vLLM can serve: {error}") from error

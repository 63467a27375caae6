"""What vLLM is started with; it itself is not needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from hangtag.bundle import Bundle
from serve.engines.vllm_start import CPU_CACHE_BYTES, arguments


def test_on_a_cpu_vllm_takes_some_of_the_memory_and_not_nearly_all(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    bundle = Bundle.load(tiny_bundle)
    assert arguments(bundle, tmp_path, {})["kv_cache_memory_bytes"] == CPU_CACHE_BYTES
    said = arguments(bundle, tmp_path, {"gpu_memory_utilization": 0.5})
    assert (said["gpu_memory_utilization"], said.get("kv_cache_memory_bytes")) == (0.5, None)
    assert arguments(bundle, tmp_path, {"kv_cache_memory_bytes": 5})["kv_cache_memory_bytes"] == 5
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
    assert "kv_cache_memory_bytes" not in arguments(bundle, tmp_path, {})


def test_a_gpu_is_vllms(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    given = arguments(Bundle.load(tiny_bundle), tmp_path, {})
    assert given["dtype"] == "bfloat16"
    assert "kv_cache_memory_bytes" not in given

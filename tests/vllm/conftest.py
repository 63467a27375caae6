"""Tests on the real vLLM (`make test-vllm`), on the model runner that the environment chooses: V1, or V2 with
VLLM_USE_V2_MODEL_RUNNER=1. One tiny random model, one compiled vocabulary, one engine for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.filterwarnings("default"))  # vLLM and what it brings warn of much


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny model and the compiled vocabulary that HANGTAG_VOCABULARY_DIR leads to."""
    from tests.vllm.served import Served

    made = Served.build(tmp_path_factory.mktemp("served"))
    os.environ["HANGTAG_VOCABULARY_DIR"] = str(made.vocabularies)
    return made


@pytest.fixture(scope="session")
def llm(served: Any) -> Iterator[Any]:
    """The engine, so small that requests are preempted and prompts are read in chunks; the processor comes to it twice, by
    entry point and by name."""
    from vllm import LLM

    from serve.decoding.vllm import NAME

    engine = LLM(str(served.model), logits_processors=[NAME], disable_log_stats=False, **served.engine)
    yield engine
    engine.llm_engine.engine_core.shutdown()

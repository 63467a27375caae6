"""What tests share: one thread for every library, and one tiny real bundle for the whole session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny real bundle, adapter included; not to be altered (copy it)."""
    from tests.tiny import build_bundle

    return build_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def suggester(tiny_bundle: Path) -> Iterator[object]:
    """A suggester of the tiny bundle with the local engine."""
    from serve.assemble import assemble

    suggester = assemble(tiny_bundle)
    yield suggester
    asyncio.run(suggester.engine.close())

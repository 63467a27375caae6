"""Rows of vLLM's batches as far as they need no vLLM."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
import torch

from serve.decoding.vllm_rows import PATIENCE, FirstRunnerRows


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_requests_begin_beside_a_model_that_is_bound_to_a_core() -> None:
    before, patience = os.sched_getaffinity(0), sys.getswitchinterval()
    os.sched_setaffinity(0, {min(before)})
    try:
        rows = FirstRunnerRows(None, 2, 8, torch.device("cpu"), False)
        params = SimpleNamespace(extra_args={"hangtag_vocabulary": "x"}, eos_token_id=1)
        rows.update(SimpleNamespace(removed=[], added=[(0, params, None, [])], moved=[]))
        rows.apply(torch.zeros(1, 8))
        thread = rows._machine._thread
        assert thread is not None
        assert thread.submit(os.sched_getaffinity, 0).result() == os.sched_getaffinity(os.getppid())
        assert sys.getswitchinterval() <= PATIENCE
    finally:
        os.sched_setaffinity(0, before)
        sys.setswitchinterval(patience)

"""Engines that must not start, and those that serve nobody: the guarantee is never lost in silence."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.exceptions import VLLMValidationError

from hangtag.bundle import Bundle
from hangtag.errors import EngineError, InvalidSettings
from hangtag.rules import AnswerRules
from serve.decoding.requests import write
from serve.decoding.vllm import NAME, ConfigurationGuard, HangtagLogitsProcessor, check_configuration, prepare
from serve.engines.engine import GenerationRequest
from serve.engines.remote import RemoteEngine
from tests.vllm.served import Served
from tests.vllm.server import command, environment, free_port, running

DRAFTS = '{"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 2}'
V2 = os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1"


def configuration(served: Served, **others: Any) -> Any:
    return EngineArgs(str(served.model), **{**served.engine, **others}).create_engine_config()


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a front end is before an engine has been made."""
    monkeypatch.setattr(HangtagLogitsProcessor, "prepared", False)
    monkeypatch.setattr(HangtagLogitsProcessor, "served", {})


@pytest.mark.usefixtures("unprepared")
def test_an_ordinary_configuration_is_served(served: Served) -> None:
    config = configuration(served)
    assert config.use_v2_model_runner is V2, "another model runner than the tests were started for"
    ConfigurationGuard(config)
    HangtagLogitsProcessor.validate_params(SamplingParams(max_tokens=100, extra_args=dict(write(served.request()))))


@pytest.mark.usefixtures("unprepared")
def test_without_a_directory_requests_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANGTAG_VOCABULARY_DIR")
    prepare(configuration(served))
    with pytest.raises(VLLMValidationError, match="HANGTAG_VOCABULARY_DIR was not set"):
        HangtagLogitsProcessor.validate_params(SamplingParams(extra_args=dict(write(served.request()))))
    HangtagLogitsProcessor.validate_params(SamplingParams(extra_args={"others": 1}))


def test_speculative_decoding_is_refused(served: Served) -> None:
    from json import loads

    config = configuration(served, speculative_config=loads(DRAFTS))
    with pytest.raises(InvalidSettings, match="speculative decoding"):
        check_configuration(config)
    with pytest.raises(InvalidSettings, match="speculative decoding"):
        ConfigurationGuard(config)


def test_asynchronous_scheduling_needs_the_name_on_v1(served: Served) -> None:
    config = configuration(served)
    config.scheduler_config.async_scheduling = True  # the CPU build never does
    if V2:
        check_configuration(config)
        return
    with pytest.raises(InvalidSettings, match=NAME):
        check_configuration(config)
    config.model_config.logits_processors = [NAME]
    check_configuration(config)


def test_the_rust_front_end_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration(served)
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "1")
    with pytest.raises(InvalidSettings, match="VLLM_USE_RUST_FRONTEND"):
        check_configuration(config)


def test_a_server_with_speculative_decoding_does_not_start(served: Served) -> None:
    """V1 would serve, and leave the processor out without a word; V2 would make it, and it refuses."""
    ended = subprocess.run(
        command(served, free_port(), "--speculative-config", DRAFTS),
        env=environment(served),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode != 0
    assert "hangtag's logits processor can't work with speculative decoding" in ended.stdout + ended.stderr


def test_a_server_without_the_guard_refuses_requests(served: Served, tmp_path: Path) -> None:
    with running(served, tmp_path / "log", VLLM_PLUGINS="others") as client:
        asked = {"model": str(served.model), "prompt": [5, 6, 7], "max_tokens": 100}
        assert client.post("/v1/completions", json=asked).status_code == 200
        reply = client.post("/v1/completions", json={**asked, "vllm_xargs": write(served.request())})
        engine = RemoteEngine.connect(replace(Bundle.load(served.model.parent), context=384), [str(client.base_url)])
        with pytest.raises(EngineError, match="is not used for all vocabularies: it says 400: hangtag has not checked how"):
            asyncio.run(engine.generate(GenerationRequest((5, 6, 7), served.codec, AnswerRules(max_tags=2))))
        asyncio.run(engine.close())
    assert reply.status_code == 400
    assert "has not checked how this engine is configured" in reply.text

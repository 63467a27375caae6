from importlib.util import find_spec
from pathlib import Path

import pytest

from hangtag.bundle import Bundle
from hangtag.errors import InvalidSettings
from serve.engines.choice import EngineChoice
from serve.engines.vllm import VllmEngine
from serve.tokenizer import load_tokenizer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "triton"}, "there is no engine 'triton'; there are local, vllm, remote"),
        ({"servers": ("http://a:1",)}, "say --engine remote"),
        ({"name": "remote", "options": {"seed": 1}}, "engine options are for the engine vllm, not for remote"),
    ],
)
def test_what_does_not_go_together(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        EngineChoice(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["logits_processors", "speculative_config", "logprobs_mode", "model"])
def test_what_decides_over_answers_is_no_option(tiny_bundle: Path, name: str) -> None:
    bundle = Bundle.load(tiny_bundle)
    with pytest.raises(InvalidSettings, match=f"vLLM's {name} is set by hangtag"):
        VllmEngine.load(bundle, load_tokenizer(bundle), options={name: None})


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_where_vllm_is_missing_it_is_said_how_to_get_it(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    with pytest.raises(InvalidSettings, match=r"pip install 'hangtag\[vllm\]'"):
        EngineChoice("vllm").load(bundle, load_tokenizer(bundle), None)

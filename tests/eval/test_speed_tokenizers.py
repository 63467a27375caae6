from pathlib import Path

import pytest

from eval.speed.tokenizers import TekkenTokenizer, load_tokenizer
from hangtag.errors import InvalidSettings


@pytest.fixture(scope="module")
def tekken() -> TekkenTokenizer:
    pytest.importorskip("tiktoken")
    pytest.importorskip("mistral_common")
    return TekkenTokenizer.installed()


@pytest.mark.parametrize("text", ["Linen shirt", "亚麻衬衫", "</s>", "a\n\nb", "🧵 C++"])
def test_tekken_writes_any_text_and_reads_it_back(tekken: TekkenTokenizer, text: str) -> None:
    ids = tekken.encode(text)
    assert tekken.decode(ids) == text
    assert b"".join(map(tekken.token_bytes, ids)) == text.encode()
    assert min(ids) >= 1000


def test_tekken_has_131072_entries_of_which_the_first_are_special(tekken: TekkenTokenizer) -> None:
    assert tekken.size == 131_072
    assert tekken.token_bytes(tekken.eos_id) == b""
    assert tekken.token_bytes(tekken.size - 1)


def test_the_tokenizer_of_a_bundle(tiny_bundle: Path) -> None:
    tokenizer = load_tokenizer("bundled", tiny_bundle)
    assert tokenizer.decode(tokenizer.encode("Linen 亚麻")) == "Linen 亚麻"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.speed.tokenizers.find_spec", lambda name: None)
    with pytest.raises(InvalidSettings, match=r"mistral-common.*\[bench\]"):
        TekkenTokenizer.installed()

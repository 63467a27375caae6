"""The tokenizers that decoding is measured with: tekken, with 131,072 entries, and the bundle's own. It knows where they lie and
how they split text, no tags and no engine.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hangtag.bundle import Bundle
from hangtag.errors import InvalidSettings
from hangtag.tokenizer import Tokenizer

INSTALL = ".venv/bin/python -m pip install -c constraints.txt -e '.[bench]'"
TOKENIZERS = ("tekken", "bundled")


class TekkenTokenizer:
    """Mistral's byte-level tokenizer as its file has it: special tokens first, then the ranks of byte pairs."""

    def __init__(self, source: bytes) -> None:
        import tiktoken

        content: dict[str, Any] = json.loads(source)
        config = content["config"]
        self.size = int(config["default_vocab_size"])
        self._special = int(config["default_num_special_tokens"])
        self.eos_id = 2
        self.hash = hashlib.sha256(source).hexdigest()
        entries = content["vocab"][: self.size - self._special]
        self._bytes = [base64.b64decode(entry["token_bytes"]) for entry in entries]
        ranks = {written: rank for rank, written in enumerate(self._bytes)}
        self._encoding = tiktoken.Encoding(
            "tekken", pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={}, explicit_n_vocab=len(ranks)
        )

    @classmethod
    def installed(cls) -> TekkenTokenizer:
        """The newest that the package mistral-common carries. Raises `InvalidSettings` where that is not installed."""
        package = find_spec("mistral_common")
        places = package.submodule_search_locations if package is not None else None
        files = sorted(file for place in places or () for file in Path(place, "data").glob("tekken_*.json"))
        if not files or find_spec("tiktoken") is None:
            raise InvalidSettings(f"the tekken tokenizer comes with mistral-common, which is not installed; say: {INSTALL}")
        return cls(files[-1].read_bytes())

    def encode(self, text: str) -> list[int]:
        return [token + self._special for token in self._encoding.encode_ordinary(text)]

    def decode(self, ids: list[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, token: int) -> bytes:
        return b"" if token < self._special else self._bytes[token - self._special]


def load_tokenizer(name: str, bundle: Path) -> Tokenizer:
    """One of TOKENIZERS; "bundled" is that of the bundle in the directory. Raises `InvalidSettings` where there is none."""
    if name == "tekken":
        return TekkenTokenizer.installed()
    assert name == "bundled", f"no tokenizer is called {name}"
    from serve.tokenizer import HuggingFaceTokenizer

    base = Bundle.load(bundle).base
    if base is None:
        raise InvalidSettings(f"{bundle}: the bundle names its base model by a hub id; its tokenizer is not in the directory")
    return HuggingFaceTokenizer.load(base)

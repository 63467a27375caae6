"""`EngineChoice`: which engine is wanted, and the engine. It knows the names that a person may write, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hangtag.bundle import Bundle
from hangtag.errors import InvalidSettings
from serve.engines.engine import ServingEngine
from serve.tokenizer import HuggingFaceTokenizer

LOCAL, VLLM, REMOTE = ENGINES = ("local", "vllm", "remote")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """`servers` and their `key` are for the remote engine; for vLLM in this process `options` are arguments of vLLM, and
    `adapters` says whether there is room for others than the bundle's. Raises `InvalidSettings` for what does not go together."""

    name: str = LOCAL
    servers: tuple[str, ...] = ()
    key: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    adapters: bool = False

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise InvalidSettings(f"there is no engine {self.name!r}; there are {', '.join(ENGINES)}", field="engine")
        if self.servers and self.name != REMOTE:
            raise InvalidSettings(f"servers are for the engine remote, not for {self.name}; say --engine remote", field="servers")
        if self.options and self.name != VLLM:
            raise InvalidSettings(f"engine options are for the engine vllm, not for {self.name}", field="engine_options")

    def load(self, bundle: Bundle, tokenizer: HuggingFaceTokenizer, vocabulary_dir: Path | None) -> ServingEngine:
        """The engine for a bundle. Raises `EngineError`, `InvalidSettings`, `InvalidBundle`."""
        if self.name == REMOTE:
            from serve.engines.remote import RemoteEngine

            return RemoteEngine.connect(bundle, self.servers, key=self.key)
        if self.name == VLLM:
            from serve.engines.vllm import VllmEngine

            return VllmEngine.load(bundle, tokenizer, adapters=self.adapters, vocabulary_dir=vocabulary_dir, options=self.options)
        from serve.engines.local import LocalEngine

        return LocalEngine.load(bundle, tokenizer)

"""What the domain needs of a tokenizer, as a protocol. It knows no library that implements one."""

from __future__ import annotations

from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids and back. Special tokens written in `text` are text: `encode` never parses them."""

    @property
    def size(self) -> int:
        """Number of ids that have a meaning; a model's logits may be wider."""
        ...

    @property
    def eos_id(self) -> int:
        """The id that ends an answer."""
        ...

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides the ids."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, nothing added at either end."""
        ...

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, special tokens left out, nothing cleaned up."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token writes; empty for special tokens."""
        ...

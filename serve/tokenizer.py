"""A transformers tokenizer as the domain's `Tokenizer`, and conversations as token ids. It knows no model.

Text handed to `encode` is only text: special tokens and other added ones (`<think>`) written in it are spelt out, never parsed.
In a conversation only the chat template's own part is parsed for them; contents are put in as ids.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hangtag.bundle import Bundle
from hangtag.errors import EngineError
from prompts.render import Message

BASE_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "config.json")
"""What is needed of a base that is on a hub."""

_SLOT = "\ue000{}\ue001"
_SLOTS = re.compile("\ue000([0-9]+)\ue001")


class HuggingFaceTokenizer:
    """A fast, byte-level tokenizer with a chat template. Raises `EngineError` for one that can't be used, and says why."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.transformers: Any = tokenizer
        if not getattr(tokenizer, "is_fast", False):
            raise EngineError("the model's tokenizer has no fast form (tokenizer.json); hangtag needs one")
        if tokenizer.eos_token_id is None:
            raise EngineError("the model's tokenizer has no end-of-sequence token")
        if not tokenizer.chat_template:
            raise EngineError("the model's tokenizer has no chat template")
        self._source = tokenizer.backend_tokenizer.to_str()
        self._parsing = _without_limits(self._source)
        # without added tokens at all: `encode_special_tokens` would still parse those that are not marked as special
        self._plain = _without_limits(json.dumps({**json.loads(self._source), "added_tokens": [], "post_processor": None}))
        if "ByteLevel" not in str(self._plain.decoder):
            raise EngineError(
                "the model's tokenizer is not byte-level; explanations could not be kept within UTF-8 and the listing"
            )
        self._special = set(self._parsing.get_added_tokens_decoder())
        self._frames: dict[tuple[str, ...], tuple[date, list[int | list[int]]]] = {}

    @classmethod
    def load(cls, directory: Path) -> HuggingFaceTokenizer:
        """From a directory with tokenizer.json; nothing is downloaded."""
        try:
            return cls(PreTrainedTokenizerFast.from_pretrained(directory, local_files_only=True))
        except (OSError, ValueError) as error:
            raise EngineError(f"{directory}: the tokenizer can't be read: {error}") from error

    @cached_property
    def size(self) -> int:
        return max(self._parsing.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def eos_id(self) -> int:
        return int(self.transformers.eos_token_id)

    @cached_property
    def hash(self) -> str:
        return hashlib.sha256(self._source.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self._parsing.decode(ids, skip_special_tokens=True))

    def token_bytes(self, token: int) -> bytes:
        if token in self._special:
            return b""
        text = self._parsing.id_to_token(token)
        return bytes(self._byte_of[character] for character in text) if text is not None else b""

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the messages in the model's chat template, up to where the answer starts. Raises `EngineError` where the
        template refuses the roles or leaves a message out."""
        roles, today = tuple(message.role for message in messages), date.today()
        if self._frames.get(roles, (None,))[0] != today:  # a template may name the day
            self._frames[roles] = today, self._frame(roles)
        ids: list[int] = []
        for part in self._frames[roles][1]:
            ids += part if isinstance(part, list) else self.encode(messages[part].content)
        return ids

    def _frame(self, roles: tuple[str, ...]) -> list[int | list[int]]:
        """The template's own parts as ids, and the numbers of the messages between them."""
        slots = [{"role": role, "content": _SLOT.format(number)} for number, role in enumerate(roles)]
        try:
            text = self.transformers.apply_chat_template(slots, tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError) as error:
            raise EngineError(f"the model's chat template can't be used: {error}") from error
        pieces = _SLOTS.split(text)
        if left_out := set(range(len(roles))) - set(map(int, pieces[1::2])):
            raise EngineError(f"the model's chat template leaves out what the {roles[min(left_out)]} says")
        frame: list[int | list[int]] = []
        for position, piece in enumerate(pieces):
            frame.append(int(piece) if position % 2 else list(self._parsing.encode(piece, add_special_tokens=False).ids))
        return frame

    @cached_property
    def _byte_of(self) -> dict[str, int]:
        return {character: byte for byte, character in bytes_to_unicode().items()}


def load_tokenizer(bundle: Bundle) -> HuggingFaceTokenizer:
    """The tokenizer of a bundle's base; of one that is named by its hub id, its files are downloaded. Raises `EngineError`."""
    return HuggingFaceTokenizer.load(bundle.base or _downloaded(bundle))


def _downloaded(bundle: Bundle) -> Path:
    from huggingface_hub import snapshot_download

    assert bundle.hub is not None, "a bundle has a base"
    try:
        return Path(snapshot_download(bundle.hub, revision=bundle.revision, allow_patterns=list(BASE_FILES)))
    except (OSError, ValueError) as error:
        raise EngineError(f"{bundle.directory}: the base {bundle.hub!r} can't be had from the hub: {error}") from error


def _without_limits(source: str) -> tokenizers.Tokenizer:
    """The tokenizer in the text of tokenizer.json, which may say that texts are cut or padded: here they are neither."""
    tokenizer = tokenizers.Tokenizer.from_str(source)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

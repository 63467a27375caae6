"""What a benchmark asks of a decoding engine, ours and the others alike, and what it asks them with. It knows no engine and no
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from eval.speed.tags import Sample, make_samples, make_vocabulary
from hangtag.tokenizer import Tokenizer
from hangtag.vocabulary import ANY_LANGUAGE, TagVocabulary

SAMPLES = 16
MOST_TAGS_OF_ANSWER = 5


@dataclass(frozen=True)
class Task:
    """A vocabulary of `size` made-up tags and the answers to walk; the answers are the same for every size."""

    tokenizer: Tokenizer
    size: int

    @cached_property
    def vocabulary(self) -> TagVocabulary:
        return make_vocabulary(self.size)

    @cached_property
    def labels(self) -> list[str]:
        return [tag.label(ANY_LANGUAGE) for tag in self.vocabulary]

    @cached_property
    def samples(self) -> list[Sample]:
        return make_samples(self.vocabulary, SAMPLES)

    @property
    def mask_words(self) -> int:
        """int32 words of a packed mask: bit t % 32 of word t // 32 is token t."""
        return (self.tokenizer.size + 31) // 32


Words = NDArray[np.int32]


class Matcher(Protocol):
    """One answer under way."""

    def restart(self) -> None:
        """Back to the start of the same answer; what was learnt on the way stays."""
        ...

    def fill(self) -> Words:
        """The packed mask of the next token, (words,); the next call may overwrite it."""
        ...

    def accept(self, token: int) -> None:
        """Take in the token that was chosen."""
        ...


class Batch(Protocol):
    """Many answers under way, one a row."""

    def restart(self, row: int, number: int) -> None:
        """Let the row begin the answer of sample `number`."""
        ...

    def fill(self) -> Words:
        """The packed masks of all rows, (rows, words); the next call may overwrite them."""
        ...

    def accept(self, tokens: NDArray[np.int64]) -> None:
        """Take in a token for each row."""
        ...

    def apply(self, logits: torch.Tensor) -> None:
        """Mask logits, (rows, tokens) float32, in place by what was filled last."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """Seconds until an engine can take the first request of a vocabulary, tokenising its tags apart; `bytes` are those of the
    compiled vocabulary's arrays where an engine can say."""

    ready: float
    tokenising: float | None = None
    bytes: int | None = None


class MaskEngine(Protocol):
    """An engine that says which tokens may come next. Made of a `Task`; what belongs to the tokenizer alone is done then."""

    def prepare(self) -> Prepared:
        """Compile the vocabulary, anew at every call."""
        ...

    def answers(self) -> list[list[int]]:
        """Token ids of each sample's answer as this engine wants it written, the end included."""
        ...

    def open(self, number: int, words: Words) -> Matcher:
        """A new request, for sample `number`; masks go into `words` where the engine doesn't bring its own."""
        ...

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways in which the engine can run a batch; the fastest counts."""
        ...

    def batch(self, way: str, numbers: Sequence[int]) -> Batch:
        """New requests, one a row, for the samples of these numbers."""
        ...


class OneByOne:
    """A batch of matchers asked one after the other, each with a row of `words`; `mask` applies all rows to logits."""

    def __init__(
        self, engine: MaskEngine, numbers: Sequence[int], words: Words, mask: Callable[[torch.Tensor, Words], None]
    ) -> None:
        self._engine = engine
        self.words = words
        self._lines = list(words)
        self._mask = mask
        self.matchers: list[Any] = [engine.open(number, row) for number, row in zip(numbers, self._lines, strict=True)]

    def restart(self, row: int, number: int) -> None:
        self.matchers[row] = self._engine.open(number, self._lines[row])

    def fill(self) -> Words:
        for line, matcher in zip(self._lines, self.matchers, strict=True):
            if (filled := matcher.fill()) is not line:
                line[:] = filled
        return self.words

    def accept(self, tokens: NDArray[np.int64]) -> None:
        for matcher, token in zip(self.matchers, tokens.tolist(), strict=True):
            matcher.accept(token)

    def apply(self, logits: torch.Tensor) -> None:
        self._mask(logits, self.words)

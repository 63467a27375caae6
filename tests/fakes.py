"""Small real classes that stand in for large ones: a tokenizer of bytes, one with chosen words, and helpers to walk answers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from hangtag.answer import AnswerCodec
from hangtag.constraint import AnswerConstraint
from hangtag.explanation import ExplanationGrammar
from hangtag.prior import TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules
from hangtag.state import Phase
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary


class WordTokenizer:
    """Greedy longest match over `words`, single bytes below them: any text can be written, and words join as they like."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        self._written = [bytes([byte]) for byte in range(256)] + [
            word.encode() for word in dict.fromkeys(words) if len(word.encode()) > 1
        ]
        self._ids = {text: token for token, text in enumerate(self._written)}
        self._longest = max(map(len, self._written))

    @property
    def size(self) -> int:
        return len(self._written) + 1

    @property
    def eos_id(self) -> int:
        return len(self._written)

    @property
    def hash(self) -> str:
        return hashlib.sha256(repr(self._written).encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        data, ids, position = text.encode(), [], 0
        while position < len(data):
            length = next(n for n in range(self._longest, 0, -1) if data[position : position + n] in self._ids)
            ids.append(self._ids[data[position : position + length]])
            position += length
        return ids

    def decode(self, ids: list[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == self.eos_id else self._written[token]


def vocabulary_of(*labels: str, name: str = "test") -> TagVocabulary:
    """A vocabulary of plain labels."""
    return TagVocabulary(name, [Tag(id=label, labels={ANY_LANGUAGE: label}) for label in labels])


def codec_of(vocabulary: TagVocabulary, words: Sequence[str] = (), language: str = "en") -> AnswerCodec:
    """The codec of a vocabulary over a `WordTokenizer`."""
    tokenizer = WordTokenizer(words)
    return AnswerCodec(tokenizer, vocabulary, language, ExplanationGrammar(tokenizer))


def constraint_of(
    codec: AnswerCodec, rules: AnswerRules | None = None, *, listing: Sequence[str] = (), prior: TagPrior | None = None
) -> AnswerConstraint:
    """A constraint over what may be quoted from `listing`."""
    return AnswerConstraint(
        codec.compiled, rules or AnswerRules(max_tags=min(5, len(codec.vocabulary))), QuotableText(listing, codec.grammar), prior
    )


def random_answer(constraint: AnswerConstraint, chance: random.Random) -> list[int]:
    """The ids of an answer walked by a model of uniform logits."""
    state, ids = constraint.start(), []
    while state.phase is not Phase.DONE:
        token = int(chance.choice(constraint.allowed(state).tokens))
        ids.append(token)
        state = constraint.advance(state, token)
    return ids

"""The answer of the model: its ONE writer and its ONE reader, in text and in token ids. It knows no rules and no model.

Tags one a line in the language of the listing, an empty line, the explanation, end of sequence:

    耳机↵主动降噪↵↵文中提到“蓝牙耳机”和“降噪”。<eos>

Ids are put together from pieces that are tokenised each by itself: a tag as it follows a separator, the explanation split at
its quotation marks. Training uses these ids too. Text tokenised as a whole would differ: some tokenizers join "+" and a line
feed into one token, and then a model learns what the decoder never allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hangtag.compiled import CompiledVocabulary
from hangtag.errors import InvalidAnswer, InvalidVocabulary
from hangtag.explanation import CLOSE_QUOTE, OPEN_QUOTE, ExplanationGrammar
from hangtag.tokenizer import Tokenizer
from hangtag.trie import ROOT, TokenTrie
from hangtag.vocabulary import TagVocabulary

SEPARATOR = "\n"
TAGS_A_TICK = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered: indexes of tags in the vocabulary, and the explanation ("" for none)."""

    tags: tuple[int, ...]
    explanation: str = ""


class AnswerCodec:
    """Answers as token ids, for one tokenizer, vocabulary and language.

    Raises `InvalidVocabulary` naming the tag that the tokenizer can't write (or can't tell from another), and
    `UnknownLanguage` where the vocabulary has no labels.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        vocabulary: TagVocabulary,
        language: str,
        grammar: ExplanationGrammar,
        compiled: CompiledVocabulary | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.language = language
        self.grammar = grammar
        self.separator_id = _separator_id(tokenizer)
        self.eos_id = tokenizer.eos_id
        self.written = vocabulary.written(language)
        self.compiled = compiled or compile_vocabulary(tokenizer, vocabulary, language)
        made = self.compiled
        if (made.vocabulary_hash, made.language, made.tokenizer_hash) != (vocabulary.hash, language, tokenizer.hash):
            raise InvalidVocabulary(f"the compiled vocabulary is not {vocabulary.name!r} in {language!r} for this tokenizer")
        if (made.separator_id, made.eos_id, made.tokenizer_size) != (self.separator_id, self.eos_id, tokenizer.size):
            raise InvalidVocabulary(
                f"{vocabulary.name!r} was compiled with other special tokens than this tokenizer has; compile the vocabulary"
                " again (hangtag vocabulary compile)"
            )
        self.trie = self.compiled.trie

    def write(self, answer: Answer) -> list[int]:
        """Ids of the answer, `eos_id` at the end."""
        ids: list[int] = []
        for tag in answer.tags:
            ids += [*self.trie.ids(tag), self.separator_id]
        return [*ids, self.separator_id, *self._explanation_ids(answer.explanation), self.eos_id]

    def read(self, ids: Sequence[int]) -> Answer:
        """The answer that `ids` spell, `eos_id` included. Raises `InvalidAnswer` for anything else; nothing is repaired."""
        tags, position = self._tags(ids)
        if position is None:
            raise InvalidAnswer(f"the answer ends after {len(ids)} tokens, within its tags")
        if len(set(tags)) != len(tags):
            raise InvalidAnswer("a tag stands in the answer twice")
        if ids[-1] != self.eos_id:
            raise InvalidAnswer("the answer has no end")
        if self.eos_id in ids[position:-1]:
            raise InvalidAnswer("the answer goes on after its end")
        return Answer(tags, self.tokenizer.decode(list(ids[position:-1])))

    def decided(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The tags that stand in an answer of which only the first `ids` are there. Raises `InvalidAnswer`."""
        return self._tags(ids)[0]

    def has_all_tags(self, ids: Sequence[int]) -> bool:
        """Whether the empty line after the tags is among the first `ids` of an answer. Raises `InvalidAnswer`."""
        return self._tags(ids)[1] is not None

    def _tags(self, ids: Sequence[int]) -> tuple[tuple[int, ...], int | None]:
        """The tags whose ends are among the ids, and where what follows their empty line begins; None before that."""
        tags: list[int] = []
        node = ROOT
        for position, token in enumerate(ids):
            if token != self.separator_id:
                child = self.trie.child(node, token)
                if child is None:
                    raise InvalidAnswer(f"token {token} at {position} goes on to no tag of {self.vocabulary.name!r}")
                node = child
            elif node == ROOT:
                return tuple(tags), position + 1
            elif self.trie.ends[node]:
                tags.append(int(self.trie.leaf_tag[self.trie.leaf_start[node]]))
                node = ROOT
            else:
                raise InvalidAnswer(f"the tag that ends at token {position} is only the beginning of a tag")
        return tuple(tags), None

    def _explanation_ids(self, explanation: str) -> list[int]:
        pieces: list[str] = [""]
        for character in explanation:
            if character in (OPEN_QUOTE, CLOSE_QUOTE):
                pieces += [character, ""]
            else:
                pieces[-1] += character
        return [token for piece in pieces if piece for token in self.tokenizer.encode(piece)]


def compile_vocabulary(
    tokenizer: Tokenizer, vocabulary: TagVocabulary, language: str, tick: Callable[[int], object] = lambda done: None
) -> CompiledVocabulary:
    """The vocabulary in `language` as the tokenizer's ids. `tick` hears every TAGS_A_TICK tags how many are done. Raises what
    `AnswerCodec` raises."""
    tags, written = vocabulary.tags, vocabulary.written(language)
    separator, eos = _separator_id(tokenizer), tokenizer.eos_id
    same: dict[tuple[int, ...], int] = {}
    for position, label in enumerate(written):
        ids = _tag_ids(tokenizer, label, separator, eos)
        if ids is None:
            raise InvalidVocabulary(f"the tokenizer can't write the tag {tags[position].id!r} ({label!r}); change its label")
        if (other := same.setdefault(ids, position)) != position:
            raise InvalidVocabulary(f"the tokenizer writes the tags {tags[other].id!r} and {tags[position].id!r} alike")
        if position % TAGS_A_TICK == 0:
            tick(position)
    number = {facet: position for position, facet in enumerate(vocabulary.facets)}
    parents = [vocabulary.index(tag.parent) if tag.parent is not None else -1 for tag in tags]
    made = CompiledVocabulary(
        vocabulary_hash=vocabulary.hash,
        language=language,
        tokenizer_hash=tokenizer.hash,
        tokenizer_size=tokenizer.size,
        separator_id=separator,
        eos_id=eos,
        facets=vocabulary.facets,
        tag_facet=np.array([number.get(tag.facet, -1) for tag in tags], np.int32),
        tag_parent=np.array(parents, np.int32),
        trie=TokenTrie.build(list(same)),
    )
    tick(len(tags))
    return made


def _separator_id(tokenizer: Tokenizer) -> int:
    ids = tokenizer.encode(SEPARATOR)
    if len(ids) != 1:
        raise InvalidVocabulary(f"the tokenizer writes a line feed as {len(ids)} tokens; hangtag needs it to be one")
    return ids[0]


def _tag_ids(tokenizer: Tokenizer, label: str, separator: int, eos: int) -> tuple[int, ...] | None:
    """The ids that a label has after a separator; where the tokenizer joins the two, those of the label alone. None where they
    do not spell the label."""
    ids = tokenizer.encode(SEPARATOR + label)
    ids = ids[1:] if ids[:1] == [separator] else tokenizer.encode(label)
    known = all(0 <= token < tokenizer.size and token not in (separator, eos) for token in ids)
    return tuple(ids) if ids and known and tokenizer.decode(list(ids)) == label else None

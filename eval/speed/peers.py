"""llguidance, xgrammar and outlines-core as benchmarks see them: a JSON object with up to five tags of a closed list and a
bounded string. It knows how each is used at its best, not how it is timed.

None of them forbids a tag twice, limits a facet, weighs tags or checks quotations: they are asked for less than we are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.speed.engine import MOST_TAGS_OF_ANSWER, Batch, Matcher, OneByOne, Prepared, Task, Words

THREADS = os.cpu_count() or 1
MOST_CHARACTERS = 200
PARALLEL, ONE_BY_ONE = "parallel", "one by one"


def json_schema(task: Task) -> str:
    """What the peers are asked for."""
    tags = {"type": "array", "items": {"enum": task.labels}, "minItems": 1, "maxItems": MOST_TAGS_OF_ANSWER}
    schema = {
        "type": "object",
        "properties": {"tags": tags, "explanation": {"type": "string", "maxLength": MOST_CHARACTERS}},
        "required": ["tags", "explanation"],
        "additionalProperties": False,
    }
    return json.dumps(schema, ensure_ascii=False)


class _JsonPeer:
    """What the peers share: the schema, and answers as compact JSON."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.eos_id = task.tokenizer.eos_id
        self.schema = json_schema(task)
        size = task.tokenizer.size
        self.written = [task.tokenizer.token_bytes(token) for token in range(size)]
        self.special = [token for token, text in enumerate(self.written) if not text]

    def answers(self) -> list[list[int]]:
        objects = (
            {"tags": [self.task.labels[tag] for tag in sample.tags], "explanation": sample.explanation}
            for sample in self.task.samples
        )
        texts = (json.dumps(answer, ensure_ascii=False, separators=(",", ":")) for answer in objects)
        return [[*self.task.tokenizer.encode(text), self.eos_id] for text in texts]

    def _rows(self, count: int) -> Words:
        return np.zeros((count, self.task.mask_words), np.int32)


class LlGuidance(_JsonPeer):
    """Requests are copies of one compiled matcher, which share what its lexer has learnt: cheaper than compiling for each."""

    ways = (PARALLEL, ONE_BY_ONE)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        import llguidance

        self._library: Any = llguidance
        self._tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_ForLlGuidance(self)))
        self._executor = llguidance.LLExecutor(THREADS)

    def prepare(self) -> Prepared:
        start = perf_counter()
        matcher = self._library.LLMatcher
        grammar = matcher.grammar_from_json_schema(self.schema, overrides={"whitespace_flexible": False})
        self._compiled = matcher(self._tokenizer, grammar)
        ready = perf_counter() - start
        assert not self._compiled.is_error(), self._compiled.get_error()
        return Prepared(ready)

    def open(self, number: int, words: Words) -> Matcher:
        return _LlGuidanceMatcher(self._compiled.deep_copy(), words)

    def batch(self, way: str, numbers: Sequence[int]) -> Batch:
        rows = OneByOne(self, numbers, self._rows(len(numbers)), self._mask)
        return _LlGuidanceBatch(self._executor, rows) if way == PARALLEL else rows

    @staticmethod
    def _mask(logits: torch.Tensor, words: Words) -> None:
        from llguidance.torch import apply_token_bitmask_inplace

        apply_token_bitmask_inplace(logits, torch.from_numpy(words))


class _ForLlGuidance:
    """The attributes that llguidance reads of a tokenizer."""

    def __init__(self, peer: _JsonPeer) -> None:
        self.eos_token_id = peer.eos_id
        self.bos_token_id = None
        self.tokens = peer.written
        self.special_token_ids = peer.special
        self._encode = peer.task.tokenizer.encode

    def __call__(self, text: str) -> list[int]:
        return self._encode(text)


class _LlGuidanceMatcher:
    def __init__(self, matcher: Any, words: Words) -> None:
        self.matcher = matcher
        self._words = words
        self._place, self._bytes = words.ctypes.data, words.nbytes

    def restart(self) -> None:
        self.matcher.reset()

    def fill(self) -> Words:
        self.matcher.unsafe_compute_mask_ptr(self._place, self._bytes)
        return self._words

    def accept(self, token: int) -> None:
        self.matcher.consume_token(token)


class _LlGuidanceBatch:
    def __init__(self, executor: Any, rows: OneByOne) -> None:
        self._executor = executor
        self._rows = rows
        self._pairs = [(matcher.matcher, row) for row, matcher in enumerate(rows.matchers)]
        self.apply = rows.apply

    def restart(self, row: int, number: int) -> None:
        self._rows.restart(row, number)
        self._pairs[row] = (self._rows.matchers[row].matcher, row)

    def fill(self) -> Words:
        words = self._rows.words
        self._executor.unsafe_compute_mask_ptr(self._pairs, words.ctypes.data, words.shape[1] * 4, len(words))
        return words

    def accept(self, tokens: NDArray[np.int64]) -> None:
        self._executor.consume_token_par(
            [(matcher, token) for (matcher, _), token in zip(self._pairs, tokens.tolist(), strict=True)]
        )


class XGrammar(_JsonPeer):
    """The grammar is compiled with every thread there is; requests share it."""

    ways = (PARALLEL, ONE_BY_ONE)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        import xgrammar

        self._library: Any = xgrammar
        information = xgrammar.TokenizerInfo(self.written, vocab_size=task.tokenizer.size, stop_token_ids=[self.eos_id])
        self._compiler = xgrammar.GrammarCompiler(information, max_threads=THREADS, cache_enabled=False)

    def prepare(self) -> Prepared:
        start = perf_counter()
        self._compiled = self._compiler.compile_json_schema(self.schema, any_whitespace=False, separators=(",", ":"))
        self._library.GrammarMatcher(self._compiled)
        return Prepared(perf_counter() - start)

    def open(self, number: int, words: Words) -> Matcher:
        return _XGrammarMatcher(self._library.GrammarMatcher(self._compiled), words)

    def batch(self, way: str, numbers: Sequence[int]) -> Batch:
        rows = OneByOne(self, numbers, self._rows(len(numbers)), self._mask)
        return _XGrammarBatch(self._library.BatchGrammarMatcher(THREADS), rows) if way == PARALLEL else rows

    def _mask(self, logits: torch.Tensor, words: Words) -> None:
        self._library.apply_token_bitmask_inplace(logits, torch.from_numpy(words))


class _XGrammarMatcher:
    def __init__(self, matcher: Any, words: Words) -> None:
        self.matcher = matcher
        self._words = words
        self._row = torch.from_numpy(words[None])

    def restart(self) -> None:
        self.matcher.reset()

    def fill(self) -> Words:
        self.matcher.fill_next_token_bitmask(self._row)
        return self._words

    def accept(self, token: int) -> None:
        self.matcher.accept_token(token)


class _XGrammarBatch:
    def __init__(self, parallel: Any, rows: OneByOne) -> None:
        self._parallel = parallel
        self._rows = rows
        self._words = torch.from_numpy(rows.words)
        self._matchers = [matcher.matcher for matcher in rows.matchers]
        self.apply = rows.apply

    def restart(self, row: int, number: int) -> None:
        self._rows.restart(row, number)
        self._matchers[row] = self._rows.matchers[row].matcher

    def fill(self) -> Words:
        self._parallel.batch_fill_next_token_bitmask(self._matchers, self._words)
        return self._rows.words

    def accept(self, tokens: NDArray[np.int64]) -> None:
        self._parallel.batch_accept_token(self._matchers, tokens.tolist())


class OutlinesCore(_JsonPeer):
    """The schema as a regular expression, compiled to an index of every state; it knows no batch."""

    ways = (ONE_BY_ONE,)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        import outlines_core

        self._library: Any = outlines_core
        tokens: dict[bytes, list[int]] = {}
        for token, text in enumerate(self.written):
            if text:
                tokens.setdefault(text, []).append(token)
        self._vocabulary = outlines_core.Vocabulary(self.eos_id, tokens)

    def prepare(self) -> Prepared:
        start = perf_counter()
        expression = self._library.json_schema.build_regex_from_schema(self.schema, "")
        self._index = self._library.Index(expression, self._vocabulary)
        return Prepared(perf_counter() - start)

    def open(self, number: int, words: Words) -> Matcher:
        return _OutlinesMatcher(self._library.Guide(self._index), words, self.eos_id)

    def batch(self, way: str, numbers: Sequence[int]) -> Batch:
        return OneByOne(self, numbers, self._rows(len(numbers)), self._mask)

    @staticmethod
    def _mask(logits: torch.Tensor, words: Words) -> None:
        from outlines_core.kernels.torch import apply_token_bitmask_inplace

        apply_token_bitmask_inplace(logits, torch.from_numpy(words))


class _OutlinesMatcher:
    def __init__(self, guide: Any, words: Words, eos_id: int) -> None:
        self._guide = guide
        self._words = words
        self._where = (words.ctypes.data, words.size, words.itemsize)
        self._eos_id = eos_id

    def restart(self) -> None:
        self._guide.reset()

    def fill(self) -> Words:
        self._guide.write_mask_into(*self._where)
        return self._words

    def accept(self, token: int) -> None:
        if token != self._eos_id:  # a final state lets the end through its mask, and has no transition for it
            self._guide.advance(token, return_tokens=False)

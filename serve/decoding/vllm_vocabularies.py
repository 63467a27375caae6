"""Compiled vocabularies for a model that vLLM serves: found by their hash in one directory, held against the model's tokenizer.
It knows files, hashes and how requests read; it knows no logits and no vLLM.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from hangtag.compiled import CompiledVocabulary
from hangtag.constraint import AnswerConstraint
from hangtag.errors import InvalidSettings, InvalidVocabulary
from hangtag.explanation import ExplanationGrammar
from hangtag.tokenizer import Tokenizer
from serve.decoding.requests import DecodingRequest, read
from serve.tokenizer import HuggingFaceTokenizer

DIRECTORY_VARIABLE = "HANGTAG_VOCABULARY_DIR"
DIRECTORY_OPTION = "hangtag_vocabulary_dir"
"""In vLLM's `additional_config`, before the variable: of an engine that hangtag starts."""
REMEMBERED_VOCABULARIES = 16


class ServedVocabularies:
    """The vocabularies in `directory`, for one tokenizer. The last REMEMBERED_VOCABULARIES are remembered: a file is named by
    what it holds, so it never changes."""

    def __init__(self, directory: Path, tokenizer: Tokenizer) -> None:
        self.directory = directory
        self.grammar = ExplanationGrammar(tokenizer)
        self.eos_id = tokenizer.eos_id
        self._known: OrderedDict[str, CompiledVocabulary] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, hash_: str) -> CompiledVocabulary:
        """Raises `InvalidVocabulary` where there is none of that hash, or no such hash."""
        with self._lock:
            if (known := self._known.get(hash_)) is not None:
                self._known.move_to_end(hash_)
                return known
        found = CompiledVocabulary.find(self.directory, hash_)
        with self._lock:
            self._known[hash_] = found
            if len(self._known) > REMEMBERED_VOCABULARIES:
                self._known.popitem(last=False)
        return found

    def constraint(self, request: DecodingRequest) -> AnswerConstraint:
        """Raises what `find` and `DecodingRequest.constraint` raise, and `InvalidVocabulary` where answers would have another
        end than the one that the model's server stops at."""
        compiled = self.find(request.vocabulary)
        constraint = request.constraint(compiled, self.grammar)
        if compiled.eos_id != self.eos_id:
            raise InvalidVocabulary(
                f"the vocabulary {request.vocabulary[:12]} was compiled to end answers with token {compiled.eos_id}, the model's"
                f" end of sequence is {self.eos_id}; compile it for this model (hangtag vocabulary compile)"
            )
        return constraint

    def read(self, values: Mapping[str, Any] | None) -> AnswerConstraint | None:
        """The constraint that a request's values ask for, None where they are somebody else's. Raises `InvalidInput`."""
        request = read(values)
        return None if request is None else self.constraint(request)


def served_vocabularies(tokenizer: str, revision: str | None = None, directory: str = "") -> ServedVocabularies | None:
    """The vocabularies of `directory`, or the one named by HANGTAG_VOCABULARY_DIR; None where neither says anything.
    `tokenizer` is a directory or the name of one that has been downloaded. The same in all of a process.

    Raises `InvalidSettings` where the directory is none, `EngineError` for a tokenizer that can't be used.
    """
    directory = directory or os.environ.get(DIRECTORY_VARIABLE, "").strip()
    if not directory:
        return None
    if not Path(directory).is_dir():
        raise InvalidSettings(f"{DIRECTORY_VARIABLE} names {directory}, which is no directory", field=DIRECTORY_VARIABLE)
    return _served(Path(directory).resolve(), tokenizer, revision)


@lru_cache(maxsize=4)
def _served(directory: Path, tokenizer: str, revision: str | None) -> ServedVocabularies:
    if revision is None:
        return ServedVocabularies(directory, HuggingFaceTokenizer.load(Path(tokenizer)))
    loaded = PreTrainedTokenizerFast.from_pretrained(tokenizer, revision=revision, local_files_only=True)
    return ServedVocabularies(directory, HuggingFaceTokenizer(loaded))

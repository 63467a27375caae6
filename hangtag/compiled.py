"""`CompiledVocabulary`: a vocabulary in one language as one tokenizer's ids, and the file that it is kept in. It knows ids,
facets and parents, and neither labels nor a tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hangtag.branches import Branches
from hangtag.errors import InvalidVocabulary
from hangtag.ruled import RuledTags
from hangtag.rules import AnswerRules
from hangtag.trie import TokenTrie

FORMAT = 1
REMEMBERED_RULES = 64
_HASH = re.compile(r"[0-9a-f]{64}")
_HEADER = ("vocabulary_hash", "language", "tokenizer_hash", "tokenizer_size", "separator_id", "eos_id", "facets")
_TRIE = tuple(entry.name for entry in fields(TokenTrie))


def compiled_hash(vocabulary_hash: str, language: str, tokenizer_hash: str) -> str:
    """SHA-256 over what decides the ids: known before anything is compiled."""
    return hashlib.sha256(f"{vocabulary_hash}:{language}:{tokenizer_hash}".encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class CompiledVocabulary:
    """T tags. `tag_facet`: (T,) int32, position in `facets`, -1 for none. `tag_parent`: (T,) int32, index of the parent, -1 for
    none. Equal `hash`, equal ids."""

    vocabulary_hash: str
    language: str
    tokenizer_hash: str
    tokenizer_size: int
    separator_id: int
    eos_id: int
    facets: tuple[str, ...]
    tag_facet: NDArray[np.int32]
    tag_parent: NDArray[np.int32]
    trie: TokenTrie
    _branches: OrderedDict[tuple[object, ...], Branches] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.trie)

    @cached_property
    def hash(self) -> str:
        """What the file is named by, see `compiled_hash`."""
        return compiled_hash(self.vocabulary_hash, self.language, self.tokenizer_hash)

    def branches(self, rules: AnswerRules) -> Branches:
        """The tags under `rules`; the last REMEMBERED_RULES are remembered. Raises `InvalidRules`."""
        with self._lock:
            if (known := self._branches.get(rules.key)) is not None:
                self._branches.move_to_end(rules.key)
                rules.check_against(len(self))
                return known
        made = Branches(RuledTags.make(self.trie, self.facets, self.tag_facet, self.tag_parent, rules), self.tokenizer_size)
        with self._lock:
            self._branches[rules.key] = made
            if len(self._branches) > REMEMBERED_RULES:
                self._branches.popitem(last=False)
        return made

    def save(self, directory: Path) -> Path:
        """Write `<hash>.npz` into `directory`, whole or not at all."""
        header = {"format": FORMAT, **{name: getattr(self, name) for name in _HEADER}}
        arrays = {name: getattr(self.trie, name) for name in _TRIE}
        path = directory / f"{self.hash}.npz"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(
                    file,
                    header=np.frombuffer(json.dumps(header).encode(), np.uint8),
                    tag_facet=self.tag_facet,
                    tag_parent=self.tag_parent,
                    **arrays,
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: Path) -> CompiledVocabulary:
        """Read what `save` wrote. Raises `InvalidVocabulary` for a file that is missing, broken or named by another hash."""
        again = "compile the vocabulary again (hangtag vocabulary compile)"
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            header = json.loads(arrays.pop("header").tobytes())
            if header.pop("format") != FORMAT:
                raise InvalidVocabulary(f"{path}: compiled by another version of hangtag; {again}")
            trie = TokenTrie(**{name: arrays.pop(name) for name in _TRIE})
            made = cls(**{**header, "facets": tuple(header["facets"])}, **arrays, trie=trie)
            whole = path.stem == made.hash and made._is_whole()
        except FileNotFoundError as error:
            raise InvalidVocabulary(f"{path}: there is no such compiled vocabulary; {again}") from error
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise InvalidVocabulary(f"{path}: this is no compiled vocabulary ({error}); {again}") from error
        if not whole:
            raise InvalidVocabulary(f"{path}: the file is not what its name says, or was altered; {again}")
        return made

    @classmethod
    def find(cls, directory: Path, hash_: str) -> CompiledVocabulary:
        """The vocabulary with that hash among the files of `directory`. Raises `InvalidVocabulary`."""
        if not _HASH.fullmatch(hash_):
            raise InvalidVocabulary(f"{hash_[:80]!r} is no hash of a compiled vocabulary: that is 64 hexadecimal digits")
        return cls.load(directory / f"{hash_}.npz")

    def _is_whole(self) -> bool:
        count = len(self.trie)
        return (
            self.trie.is_whole(self.tokenizer_size)
            and self.tag_facet.shape == self.tag_parent.shape == (count,)
            and self.tag_facet.dtype == self.tag_parent.dtype == np.int32
            and bool(((self.tag_facet >= -1) & (self.tag_facet < len(self.facets))).all())
            and bool(((self.tag_parent >= -1) & (self.tag_parent < count)).all())
        )

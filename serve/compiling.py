"""Compiled vocabularies as files: made for a bundle's tokenizer in every language that it shares with a vocabulary, kept in a
directory, found there again. It knows no model and no command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hangtag.answer import compile_vocabulary
from hangtag.bundle import Bundle
from hangtag.compiled import CompiledVocabulary, compiled_hash
from hangtag.errors import InvalidSettings, UnknownLanguage
from hangtag.tokenizer import Tokenizer
from hangtag.vocabulary import TagVocabulary


@dataclass(frozen=True, slots=True)
class Compiled:
    """A vocabulary in one language, and the seconds that it took."""

    vocabulary: CompiledVocabulary
    seconds: float


@dataclass(frozen=True, slots=True)
class CompiledFiles:
    """The compiled vocabularies of a directory. Raises `InvalidSettings` where it is none."""

    directory: Path

    def __post_init__(self) -> None:
        if not self.directory.is_dir():
            raise InvalidSettings(
                f"{self.directory} is no directory, so there are no compiled vocabularies in it; make them (hangtag vocabulary"
                " compile), or leave HANGTAG_VOCABULARY_DIR unset",
                field="vocabulary_dir",
            )

    def find(self, vocabulary: TagVocabulary, language: str, tokenizer: Tokenizer) -> CompiledVocabulary | None:
        """None where nobody compiled it. Raises `InvalidVocabulary` for a file that is broken or not what its name says."""
        path = self.directory / f"{compiled_hash(vocabulary.hash, language, tokenizer.hash)}.npz"
        return CompiledVocabulary.load(path) if path.exists() else None


def shared_languages(bundle: Bundle, vocabulary: TagVocabulary) -> list[str]:
    """The languages that answers can be written in, as the bundle names them. Raises `UnknownLanguage` where there are none."""
    if shared := list(filter(vocabulary.speaks, bundle.languages)):
        return shared
    raise UnknownLanguage(
        f"the vocabulary {vocabulary.name!r} has labels in {', '.join(vocabulary.languages)}; the model {bundle.model!r} answers"
        f" in {', '.join(bundle.languages)} only; add labels in one of these",
        field="vocabulary",
    )


def compile_all(
    bundle: Bundle,
    vocabulary: TagVocabulary,
    tokenizer: Tokenizer,
    tick: Callable[[str, int], object] = lambda language, done: None,
) -> list[Compiled]:
    """The vocabulary in each shared language; `tick` hears how many tags of a language are done. Raises `UnknownLanguage`, and
    `InvalidVocabulary` that names a tag which the tokenizer can't write."""
    made = []
    for language in shared_languages(bundle, vocabulary):
        begun = time.perf_counter()

        def heard(done: int, language: str = language) -> None:
            tick(language, done)

        compiled = compile_vocabulary(tokenizer, vocabulary, language, heard)
        made.append(Compiled(compiled, time.perf_counter() - begun))
    return made

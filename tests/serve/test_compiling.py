"""Compiled vocabularies: made for a bundle, found by what they hold, used instead of the tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from hangtag.bundle import Bundle
from hangtag.errors import InvalidSettings, InvalidVocabulary, UnknownLanguage
from serve.candidates import Candidates
from serve.compiling import CompiledFiles, compile_all, shared_languages
from serve.suggester import Suggester
from serve.tokenizer import HuggingFaceTokenizer, load_tokenizer
from tests.fakes import vocabulary_of
from tests.tiny import FailingEngine


class CountingTokenizer(HuggingFaceTokenizer):
    """Counts the texts that it is given."""

    texts = 0

    def encode(self, text: str) -> list[int]:
        self.texts += 1
        return super().encode(text)


def suggester_from(bundle: Bundle, compiled: CompiledFiles | None) -> tuple[Suggester, CountingTokenizer]:
    tokenizer = CountingTokenizer(load_tokenizer(bundle).transformers)
    own = bundle.vocabulary
    return Suggester(bundle, own, tokenizer, FailingEngine(), Candidates(own), compiled=compiled), tokenizer


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def test_a_vocabulary_is_made_in_every_shared_language(bundle: Bundle) -> None:
    tokenizer, heard = load_tokenizer(bundle), []
    made = compile_all(bundle, bundle.vocabulary, tokenizer, lambda language, done: heard.append((language, done)))
    assert [one.vocabulary.language for one in made] == ["en", "zh"]
    assert [(language, done) for language, done in heard if done] == [("en", 8), ("zh", 8)]
    for one in made:
        linen = {"en": "Linen", "zh": "亚麻"}[one.vocabulary.language]
        ids = one.vocabulary.trie.ids(bundle.vocabulary.index("material/linen"))
        assert tokenizer.decode(list(ids)) == linen
    assert shared_languages(bundle, vocabulary_of("Linen")) == ["en", "zh"]


def test_a_vocabulary_in_no_language_of_the_model_is_refused(bundle: Bundle) -> None:
    from hangtag.vocabulary import Tag, TagVocabulary

    with pytest.raises(UnknownLanguage, match="has labels in fr; the model 'tiny@1' answers in en, zh only"):
        compile_all(bundle, TagVocabulary("french", [Tag("a", {"fr": "Lin"})]), load_tokenizer(bundle))


def test_a_compiled_file_saves_tokenising_and_answers_are_the_same(bundle: Bundle, tmp_path: Path) -> None:
    plain, counting = suggester_from(bundle, None)
    trie = plain.codec("en").trie
    assert counting.texts > len(plain.vocabulary)
    for one in compile_all(bundle, bundle.vocabulary, load_tokenizer(bundle)):
        one.vocabulary.save(tmp_path)
    quick, counting = suggester_from(bundle, CompiledFiles(tmp_path))
    assert [quick.codec("en").trie.ids(tag) for tag in range(8)] == [trie.ids(tag) for tag in range(8)]
    assert quick.codec("en") is quick.codec("en")
    assert counting.texts == 1  # the separator


def test_without_a_file_the_vocabulary_is_tokenised(bundle: Bundle, tmp_path: Path) -> None:
    suggester, counting = suggester_from(bundle, CompiledFiles(tmp_path))
    assert len(suggester.codec("zh").compiled) == 8
    assert counting.texts > 8


def test_a_broken_file_is_an_error_that_says_what_to_do(bundle: Bundle, tmp_path: Path) -> None:
    for one in compile_all(bundle, bundle.vocabulary, load_tokenizer(bundle)):
        path = one.vocabulary.save(tmp_path)
        path.write_bytes(path.read_bytes()[:-200])
    suggester, _ = suggester_from(bundle, CompiledFiles(tmp_path))
    with pytest.raises(InvalidVocabulary, match="compile the vocabulary again"):
        suggester.codec("en")


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="is no directory, so there are no compiled vocabularies"):
        CompiledFiles(tmp_path / "none")

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.answer import TAGS_A_TICK, Answer, AnswerCodec, compile_vocabulary
from hangtag.errors import InvalidAnswer, InvalidVocabulary
from tests.fakes import WordTokenizer, codec_of, vocabulary_of

VOCABULARY = vocabulary_of("linen", "linen shirt", "C++", "C", "亚麻", "亚麻衬衫")
JOINING = ["++\n", "\nC", "linen", " shirt", "亚麻", "”。", "a“"]
"""Tokens that a tokenizer would use for the text as a whole, across the borders of tags and quotations."""

CODEC = codec_of(VOCABULARY, JOINING)
TEXTS = st.text(alphabet="ab 亚麻“”.+C", max_size=20)


@given(st.lists(st.integers(0, 5), unique=True), TEXTS)
def test_round_trip(tags, explanation):
    answer = Answer(tuple(tags), explanation)
    assert CODEC.read(CODEC.write(answer)) == answer


def test_an_answer_is_put_together_from_pieces():
    ids = CODEC.write(Answer((2, 4), "a“亚麻”。"))
    text = [CODEC.tokenizer.token_bytes(token).decode(errors="replace") for token in ids]
    assert text == ["C", "+", "+", "\n", "亚麻", "\n", "\n", "a", *text[8:11], "亚麻", *text[12:15], *text[15:18], ""]
    assert b"".join(map(CODEC.tokenizer.token_bytes, ids)).decode() == "C++\n亚麻\n\na“亚麻”。"
    assert ids[-1] == CODEC.eos_id


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda ids: ids[:-1], "no end"),
        (lambda ids: ids[:2], "within its tags"),
        (lambda ids: [*ids, ids[-1]], "goes on after its end"),
        (lambda ids: [ids[0], *ids], "goes on to no tag"),
        (lambda ids: [*ids[:3], *ids], "twice"),
        (lambda ids: [*CODEC.tokenizer.encode("C+"), *ids[2:]], "only the beginning of a tag"),
        (lambda ids: [], "after 0 tokens"),
    ],
)
def test_anything_else_is_refused(cut, message):
    ids = CODEC.write(Answer((1, 4), "x"))
    with pytest.raises(InvalidAnswer, match=message):
        CODEC.read(cut(ids))


class ForgetfulTokenizer(WordTokenizer):
    """Writes every digit as the digit 0."""

    def encode(self, text):
        return super().encode("".join("0" if character.isdigit() else character for character in text))


def test_a_tag_that_the_tokenizer_cannot_write_is_named():
    from hangtag.answer import AnswerCodec
    from hangtag.explanation import ExplanationGrammar

    tokenizer = ForgetfulTokenizer()
    with pytest.raises(InvalidVocabulary, match=r"can't write the tag 'model 7'"):
        AnswerCodec(tokenizer, vocabulary_of("model", "model 7"), "en", ExplanationGrammar(tokenizer))


def test_the_hash_depends_on_vocabulary_language_and_tokenizer():
    hashes = {
        codec_of(VOCABULARY).compiled.hash,
        codec_of(VOCABULARY, language="zh").compiled.hash,
        codec_of(VOCABULARY, ["x y"]).compiled.hash,
        codec_of(vocabulary_of("linen")).compiled.hash,
    }
    assert len(hashes) == 4


def test_compiling_says_how_far_it_is():
    heard = []
    count = 2 * TAGS_A_TICK + 1
    compile_vocabulary(WordTokenizer(), vocabulary_of(*map(str, range(count))), "en", heard.append)
    assert heard == [0, TAGS_A_TICK, 2 * TAGS_A_TICK, count]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("language", "zh", "is not 'test' in 'en'"),
        ("vocabulary_hash", "0" * 64, "is not 'test' in 'en'"),
        ("tokenizer_hash", "0" * 64, "is not 'test' in 'en'"),
        ("eos_id", 7, "other special tokens"),
        ("separator_id", 7, "other special tokens"),
    ],
)
def test_a_codec_refuses_what_was_compiled_for_another(field, value, message):
    assert AnswerCodec(CODEC.tokenizer, VOCABULARY, "en", CODEC.grammar, CODEC.compiled).trie is CODEC.trie
    with pytest.raises(InvalidVocabulary, match=message):
        AnswerCodec(CODEC.tokenizer, VOCABULARY, "en", CODEC.grammar, replace(CODEC.compiled, **{field: value}))


def test_what_is_decided_grows_with_the_answer():
    ids = CODEC.write(Answer((1, 0), "why"))
    first = len(CODEC.trie.ids(1)) + 1
    second = first + len(CODEC.trie.ids(0)) + 1
    ends = (0, first - 1, first, second - 1, second, len(ids))
    assert [CODEC.decided(ids[:end]) for end in ends] == [(), (), (1,), (1,), (1, 0), (1, 0)]
    with pytest.raises(InvalidAnswer, match="only the beginning"):
        CODEC.decided([*CODEC.trie.ids(2)[:2], CODEC.separator_id])

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.rows import IGNORED, RowEncoder, TokenBatches, TokenRows, TrainingRow
from hangtag.answer import AnswerCodec
from hangtag.explanation import ExplanationGrammar
from hangtag.formats import read_vocabulary
from hangtag.listing import Listing
from prompts.render import TEMPLATES, PromptTemplate
from serve.tokenizer import HuggingFaceTokenizer

PAIRS = st.lists(
    st.tuples(st.lists(st.integers(5, 99), max_size=30), st.lists(st.integers(5, 99), min_size=1, max_size=30)),
    min_size=1,
    max_size=40,
)


@given(PAIRS, st.integers(40, 400))
def test_batches_hold_every_row_and_learn_only_answers(pairs, budget):
    rows = TokenRows.collect(pairs, longest=1000)
    batches = TokenBatches(rows, budget=budget, pad_id=0, seed=3)
    shapes, seen = {}, set()
    for batch in map(batches.__getitem__, range(len(batches))):
        ids, labels, mask = (batch[name].numpy() for name in ("input_ids", "labels", "attention_mask"))
        assert shapes.setdefault(ids.shape[1], ids.shape) == ids.shape  # one shape a width
        for row_ids, row_labels, row_mask in zip(ids, labels, mask, strict=True):
            length = int(row_mask.sum())
            learned = row_labels != IGNORED
            assert np.array_equal(row_ids[learned], row_labels[learned])
            start = int(learned.argmax())
            seen.add((tuple(row_ids[:start]), tuple(row_ids[start:length])))
    assert seen == {(tuple(prompt), tuple(answer)) for prompt, answer in pairs}


def test_rows_that_are_too_long_are_left_out_and_files_come_back(tmp_path: Path):
    rows = TokenRows.collect([([1, 2], [3]), ([1] * 9, [2] * 9)], longest=10)
    assert len(rows) == 1
    rows.save(tmp_path / "rows.npz")
    again = TokenRows.load(tmp_path / "rows.npz")
    assert np.array_equal(again.tokens, rows.tokens)
    assert np.array_equal(again.offsets, rows.offsets)


@pytest.fixture
def encoder(tiny_bundle: Path) -> RowEncoder:
    tokenizer = HuggingFaceTokenizer.load(tiny_bundle / "base")
    vocabulary = read_vocabulary(tiny_bundle / "vocabulary.csv")
    grammar = ExplanationGrammar(tokenizer)
    codecs = {language: AnswerCodec(tokenizer, vocabulary, language, grammar) for language in ("en", "zh")}
    return RowEncoder(tokenizer, PromptTemplate.read(TEMPLATES / "mini.j2"), codecs)


def test_a_row_is_the_prompt_of_serving_and_the_answer_that_the_decoder_reads(encoder: RowEncoder):
    row = TrainingRow(Listing("蓝牙耳机<|eos|>，降噪"), ("material/linen",), ("category/headphones",), "写到“耳机”。")
    prompt, ids = encoder.encode(row)
    tokenizer = encoder.tokenizer
    assert tokenizer.decode(prompt) == "zh\n蓝牙耳机<|eos|>，降噪\n\n亚麻"
    assert tokenizer.eos_id not in prompt
    answer = encoder.codecs["zh"].read(ids)
    assert (answer.tags, answer.explanation) == ((0,), "写到“耳机”。")

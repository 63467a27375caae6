"""Copying and picking: the rows are what they say, a tiny model learns them, and the figures tell one that did from one that
did not."""

import asyncio
import json
import random
import sys
from itertools import repeat
from pathlib import Path

import pytest
import torch
from transformers import Qwen3ForCausalLM

import finetune.copying
import finetune.unseen
from eval.datasets import Converted
from eval.labels import vocabulary_of
from eval.rows import Row
from finetune.copying import answered_freely, answered_within, batches, learn
from finetune.episodes import Encoder, Episode, Shop, Spans, copying, picking
from finetune.rows import IGNORED
from finetune.synthesize import Synthesizer
from hangtag.bundle import Bundle
from hangtag.formats import read_vocabulary
from hangtag.listing import Listing
from hangtag.text import normalise
from serve.tokenizer import HuggingFaceTokenizer
from tests.tiny import SENTENCES, build_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bundle(tmp_path_factory.mktemp("copying") / "tiny", adapter=False)


@pytest.fixture(scope="module")
def encoder(bundle: Path) -> Encoder:
    return Encoder(HuggingFaceTokenizer.load(bundle / "base"))


@pytest.fixture(scope="module")
def spans(encoder: Encoder) -> Spans:
    return Spans(encoder.tokenizer, SENTENCES)


@pytest.fixture
def model(bundle: Path) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    return Qwen3ForCausalLM.from_pretrained(bundle / "base", dtype=torch.float32, attn_implementation="eager")


def test_copies_are_all_labels_in_the_order_shown(spans: Spans):
    for seed in range(30):
        episode = copying(spans, random.Random(seed), most=5)
        assert episode.answer == episode.candidates
        assert 1 <= len(set(episode.candidates)) == len(episode.candidates) <= 5
        assert not episode.lines


def test_what_is_picked_stands_in_the_listing_and_the_rest_does_not(spans: Spans):
    for seed in range(60):
        on_lines = seed % 2 == 1
        episode = picking(spans, random.Random(seed), 6, 2, on_lines=on_lines)
        assert len(episode.lines) == (5 if on_lines else 1)
        assert not on_lines or set(episode.answer) <= set(episode.lines)
        assert len(episode.candidates) == 6
        assert [label for label in episode.candidates if label in "\n".join(episode.lines)] == list(episode.answer)
        assert len(episode.answer) == 2


def test_labels_are_pieces_or_spans_of_the_texts(spans: Spans):
    joined = normalise(" ".join(SENTENCES))
    for language in ("en", "zh"):
        rng = random.Random(3)
        assert all(spans.label(language, rng, pieces=0.0) in joined for _ in range(30))
        assert any(spans.label(language, rng, pieces=1.0) not in joined for _ in range(30))


def test_a_shops_tags_are_among_the_candidates_by_one_of_their_wordings(bundle: Path):
    vocabulary = read_vocabulary(bundle / "vocabulary.csv")
    wordings = {text for tag in vocabulary for language in ("en", "zh") for text in tag.wordings(language)}
    shop = Shop(Synthesizer(vocabulary, {}, split="train"), [])
    shown = set()
    for seed in range(40):
        episode = shop.example(random.Random(seed))
        assert set(episode.answer) <= set(episode.candidates) <= wordings
        assert len(set(episode.candidates)) == len(episode.candidates)
        shown |= set(episode.answer)
    labels = {tag.label(language) for tag in vocabulary for language in ("en", "zh")}
    assert shown - labels, "aliases are shown, too"


def test_rows_of_a_set_are_shown_with_labels_of_the_set():
    rows = [Row(Listing("Shampoo", language="en", id=f"{n}"), ("Brand: Dove", f"Size: {n}")) for n in range(40)]
    labels = vocabulary_of((tag for row in rows for tag in row.tags), "set")
    shop = Shop(Synthesizer(vocabulary_of(["Shampoo"], "starter"), {}, split="train"), [Converted(rows, labels, [], [])])
    bare = [shop._real(random.Random(seed)) for seed in range(30)]
    assert any(episode.answer[0] == "Dove" for episode in bare), "the attribute's name is left out, mostly"
    assert any(episode.answer[0] == "Brand: Dove" for episode in bare)
    assert all(set(episode.answer) <= set(episode.candidates) for episode in bare)


def test_answers_are_those_that_the_decoder_reads(encoder: Encoder, spans: Spans):
    for seed in range(20):
        episode = copying(spans, random.Random(seed), most=4)
        codec = encoder.codec(sorted(episode.candidates), episode.language)
        assert tuple(codec.written[tag] for tag in codec.read(encoder.answer(episode)).tags) == episode.answer
        assert all(label in encoder.tokenizer.decode(encoder.prompt(episode)) for label in episode.candidates)


def test_batches_keep_to_the_budget_and_learn_answers_only(encoder: Encoder, spans: Spans):
    rng = random.Random(0)
    episodes = [copying(spans, rng, most=4) for _ in range(16)]
    made = list(batches(episodes, encoder, budget=200))
    assert made
    answers = {tuple(encoder.answer(episode)) for episode in episodes}
    for ids, labels in made:
        assert ids.numel() <= 200
        for row, learned in zip(ids, labels, strict=True):
            answer = tuple(learned[learned != IGNORED].tolist())
            assert answer in answers
            assert tuple(row[learned != IGNORED].tolist()) == answer


def test_a_model_that_learnt_a_label_is_told_from_one_that_did_not(model: Qwen3ForCausalLM, encoder: Encoder):
    episode = Episode("en", (), ("Linen shirt", "Shoes"), ("Shoes",))
    assert answered_freely(model, encoder, [episode]) == 0
    losses = [loss for _, loss in learn(model, repeat(episode), encoder, tokens=20_000, rate=0.01, budget=128)]
    assert losses[-1] < 0.1 < losses[0]
    assert answered_freely(model.eval(), encoder, [episode]) == 1
    assert asyncio.run(answered_within(model, encoder, [episode])) == (1, 1)
    other = Episode("en", (), ("Linen shirt", "Shoes"), ("Linen shirt",))
    assert asyncio.run(answered_within(model, encoder, [other, episode], ["Cotton"])) == (0.5, 0.5)


def test_the_command_trains_measures_and_leaves_weights_that_load(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [Row(Listing(text.strip(), id=f"{n}"), ("Linen" if "inen" in text else "Audio",)) for n, text in enumerate(SENTENCES)]
    found = Converted(rows, vocabulary_of(["Audio", "Linen"], "set"), [], [])
    monkeypatch.setattr(finetune.copying, "convert", lambda name, data: found)
    monkeypatch.setattr(finetune.unseen, "convert", lambda name, data: found)
    domains = tmp_path / "domains.csv"
    domains.write_text("id,domains\ncategory/shoes,shoes\n", encoding="utf-8")
    given = [
        "--data",
        tmp_path,
        "--output",
        tmp_path / "run",
        "--base",
        bundle / "base",
        "--bundle",
        bundle,
        "--domains",
        domains,
    ]
    given += ["--task", "shop", "--tokens", 3000, "--every", 2500, "--rows", 2, "--compare"]
    monkeypatch.setattr(sys, "argv", ["copying", *map(str, given)])
    finetune.copying.main()
    lines = [json.loads(line) for line in (tmp_path / "run" / "curve.jsonl").read_text().splitlines()]
    assert lines[0]["tokens"] == 0
    assert lines[-1]["tokens"] >= 3000
    assert {"copy pieces, free", "pick 1 of 16, zh, line", "retail_demo_store", "litemall_zh"} <= lines[-1].keys()
    trained = Qwen3ForCausalLM.from_pretrained(tmp_path / "run" / "weights", dtype=torch.float32).state_dict()
    untrained = Qwen3ForCausalLM.from_pretrained(bundle / "base", dtype=torch.float32).state_dict()
    assert any(not torch.equal(trained[name], untrained[name]) for name in trained)
    assert Bundle.load(bundle).name == "tiny", "the bundle that was given stays as it was"

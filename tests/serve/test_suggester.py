import asyncio
import json
import math
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from safetensors.torch import load_file, save

from hangtag.answer import Answer
from hangtag.bundle import write_manifest
from hangtag.errors import EngineError, InvalidListing, InvalidRules, InvalidVocabulary, UnknownLanguage
from hangtag.history import Event, InterestProfile
from hangtag.listing import Listing
from hangtag.suggestion import Suggestion
from serve.assemble import assemble
from serve.confidence import path_log_probabilities
from serve.cutting import cut_listing
from serve.engines.engine import Generation, GenerationRequest
from serve.suggester import Suggester, SuggestionRequest
from tests.fakes import codec_of, vocabulary_of
from tests.tiny import CHINESE, FailingEngine, suggester_with


def ask(suggester: Suggester, listing: Listing, **options: object) -> Suggestion:
    return asyncio.run(suggester.suggest(SuggestionRequest(listing, **options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("title", "language"), [(CHINESE, "zh"), ("Linen shirt for hot days", "en")])
def test_an_answer_keeps_to_vocabulary_language_and_listing(suggester: Suggester, title: str, language: str) -> None:
    suggestion = ask(suggester, Listing(title=title), min_tags=2, max_tags=3)
    assert suggestion.language == language
    assert 2 <= len(suggestion.tags) <= 3
    for found in suggestion.tags:
        assert found.tag.id in suggester.vocabulary
        assert found.label == found.tag.labels[language]
        assert 0 < found.confidence <= 1
    assert len({found.tag.id for found in suggestion.tags}) == len(suggestion.tags)
    assert suggestion.explanation == suggestion.explanation.strip() != ""
    assert (suggestion.model, suggestion.vocabulary_hash, suggestion.notices) == ("tiny@1", suggester.vocabulary.hash, ())
    quotes = [quote.split("”")[0] for quote in suggestion.explanation.split("“")[1:]]
    assert all(quote in title for quote in quotes)


def test_the_same_request_has_the_same_answer(suggester: Suggester) -> None:
    listing = Listing(title="Waterproof shoes", attributes=(("lining", "cotton"),))
    assert ask(suggester, listing) == ask(suggester, listing)


def test_requests_at_the_same_time_have_the_answers_of_requests_one_by_one(suggester: Suggester) -> None:
    requests = [SuggestionRequest(Listing(title=title)) for title in ("Linen shirt", CHINESE, "Summer shoes")]

    async def together() -> list[Suggestion]:
        return await asyncio.gather(*map(suggester.suggest, requests))

    alone = [asyncio.run(suggester.suggest(request)) for request in requests]
    for one, other in zip(asyncio.run(together()), alone, strict=True):
        assert [found.tag.id for found in one.tags] == [found.tag.id for found in other.tags]


def test_what_a_user_liked_comes_first(suggester: Suggester) -> None:
    listing, now = Listing(title="A present"), datetime.now(UTC)
    for tag_id in ("category/shoes", "material/linen"):
        events = [Event("purchase", now - timedelta(minutes=1), (tag_id,))] * 400
        profile = InterestProfile.from_events(events, suggester.vocabulary, now=now)
        assert ask(suggester, listing, profile=profile).tags[0].tag.id == tag_id


def test_no_explanation_and_no_tags_can_be_asked_for(suggester: Suggester) -> None:
    suggestion = ask(suggester, Listing(title="Linen"), explain=False, min_tags=0, max_tags=1)
    assert suggestion.explanation == ""
    assert len(suggestion.tags) <= 1


def test_all_tags_of_the_vocabulary_can_be_asked_for(suggester: Suggester) -> None:
    suggestion = ask(suggester, Listing(title="Linen"), explain=False, min_tags=8, max_tags=8)
    assert {found.tag.id for found in suggestion.tags} == {tag.id for tag in suggester.vocabulary}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_tags": 3, "max_tags": 2}, r"max_tags \(2\) is below min_tags \(3\)"),
        ({"max_tags": 9}, "max_tags is 9, but the vocabulary has only 8 tags"),
        ({"min_tags": 9}, "min_tags is 9, but the vocabulary has only 8 tags"),
        ({"min_tags": -1}, "can't be negative"),
        ({"max_tags": 0}, "must be between 1 and 50"),
    ],
)
def test_rules_that_leave_no_answer_are_errors(suggester: Suggester, options: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidRules, match=message):
        ask(suggester, Listing(title="Linen"), **options)


def test_an_unknown_language_is_an_error_that_names_the_known_ones(suggester: Suggester) -> None:
    with pytest.raises(UnknownLanguage, match="'fr'; use one of: en, zh"):
        ask(suggester, Listing(title="Chemise en lin", language="fr"))


def test_a_listing_that_does_not_fit_is_cut_at_a_sentence_and_said_so(suggester: Suggester) -> None:
    listing = Listing(title="Linen shirt", description="A breathable shirt for hot days. " * 100)
    (notice,) = ask(suggester, listing).notices
    assert re.match(r"only [1-9][\d,]+ of the listing's 3,311 characters were read: ", notice)


def test_cutting_leaves_what_fits_and_ends_at_a_sentence() -> None:
    listing = Listing(title="Shirt", description="One. Two. Three.", attributes=(("a", "b"),))
    assert cut_listing(listing, lambda shorter: True) is listing
    assert cut_listing(listing, lambda shorter: len(shorter.description) <= 10).description.strip() == "One. Two."
    assert cut_listing(listing, lambda shorter: len(shorter.text()) <= 5).lines() == ["Shirt"]
    with pytest.raises(InvalidListing, match="not even the first sentence"):
        cut_listing(listing, lambda shorter: False)


LONG = Listing(
    title="\n One! Two. ",
    description="\n\n。 Three. 四。",
    attributes=(("empty", " "), ("a", "b"), ("c", "d")),
    language="en",
    id="7",
)


def test_what_is_cut_is_a_beginning_with_attributes_before_the_description() -> None:
    def cut_to(most: int) -> Listing:
        return cut_listing(LONG, lambda shorter: len(shorter.text()) <= most)

    with pytest.raises(InvalidListing, match="not even the first sentence"):
        cut_to(len("One"))
    versions = []
    for most in range(len(LONG.text()), len("One"), -1):
        cut = cut_to(most)
        assert len(cut.text()) <= most
        assert (cut.language, cut.id) == ("en", "7")
        versions.append(" | ".join(cut.lines()))
    assert list(dict.fromkeys(versions)) == [
        "One! Two. | 。 Three. 四。 | a: b | c: d",
        "One! Two. | 。 Three. | a: b | c: d",
        "One! Two. | 。 | a: b | c: d",
        "One! Two. | a: b | c: d",
        "One! Two. | a: b",
        "One! Two.",
        "One!",
    ]


@pytest.mark.parametrize(
    ("listing", "lines"),
    [
        (Listing(description="\n\n One. Two."), ["One."]),
        (Listing(attributes=(("a", "b"), ("c", "d"))), ["a: b"]),
        (Listing(description="One. Two.", attributes=(("a", "b"),)), ["a: b"]),
    ],
)
def test_a_listing_without_a_title_can_be_cut(listing: Listing, lines: list[str]) -> None:
    assert cut_listing(listing, lambda shorter: len(shorter.text()) <= 4).lines() == lines


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [
        ("天气" * 500, 250, "天气" * 100),
        ("sunny day " * 100, 250, "sunny day " * 20),
        ("x" * 1000, 250, "x" * 200),
        ("Short. " + "天气" * 500, 250, "Short. " + "天气" * 99 + "天"),
    ],
)
def test_a_text_without_full_stops_is_cut_between_words(text: str, most: int, cut: str) -> None:
    listing = Listing(description=text)
    assert cut_listing(listing, lambda shorter: len(shorter.description) <= most).description.strip() == cut.strip()


def test_cutting_text_of_thousands_of_sentences_is_quick() -> None:
    listing = Listing(title="a", description="!" * 19_000)
    started = time.perf_counter()
    assert len(cut_listing(listing, lambda shorter: len(shorter.description) < 500).description) == 499
    assert time.perf_counter() - started < 5


def test_a_confidence_is_the_product_along_a_tag_its_separator_included() -> None:
    codec = codec_of(vocabulary_of("ab", "c"))
    ids = codec.write(Answer((0, 1), "x"))
    logprobs = [math.log(p) for p in (0.5, 1.0, 0.5, 0.2, 0.9, 0.01, 0.01, 0.01)]
    found = path_log_probabilities(Generation(tuple(ids), tuple(logprobs)), codec)
    assert [math.exp(log_probability) for log_probability in found] == pytest.approx([0.25, 0.18])
    none = codec.write(Answer((), ""))
    assert path_log_probabilities(Generation(tuple(none), (-1.0, -1.0)), codec) == []


def test_a_failing_engine_is_an_engine_error(tiny_bundle: Path) -> None:
    with pytest.raises(EngineError, match="out of memory"):
        ask(suggester_with(FailingEngine(), tiny_bundle), Listing(title="Linen"))


def test_a_vocabulary_of_ones_own_is_answered_from(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Beach\nOffice\n", encoding="utf-8")
    suggester = assemble(tiny_bundle, file)
    try:
        suggestion = ask(suggester, Listing(title="A shirt for the office"))
    finally:
        asyncio.run(suggester.engine.close())
    assert {found.label for found in suggestion.tags} <= {"Beach", "Office"}
    assert suggestion.vocabulary_name == "mine"


def test_labels_that_are_too_long_for_the_context_are_left_out_and_it_is_said(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_text("\n".join(["Beach", "Office", "ж" * 200, "щ" * 200]), encoding="utf-8")
    suggester = assemble(tiny_bundle, file)
    try:
        suggestion = ask(suggester, Listing(title="A shirt"), min_tags=2, max_tags=2)
        with pytest.raises(InvalidRules, match=r"3 tags of this vocabulary can't be written in .* ask for fewer tags") as caught:
            ask(suggester, Listing(title="A shirt"), max_tags=3)
    finally:
        asyncio.run(suggester.engine.close())
    assert {found.label for found in suggestion.tags} == {"Beach", "Office"}
    (notice,) = suggestion.notices
    assert "of the vocabulary's tags can't be suggested" in notice
    assert caught.value.field == "max_tags"


def test_a_vocabulary_that_the_model_can_not_answer_in_is_refused_before_weights_are_read(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "french.csv"
    file.write_text("fr\nChemise\n", encoding="utf-8")
    with pytest.raises(UnknownLanguage, match="has labels in fr; the model 'tiny@1' answers in en, zh only"):
        assemble(tiny_bundle, file)
    file.write_text("en,parent\nShirt,none\n", encoding="utf-8")
    with pytest.raises(InvalidVocabulary, match="line 2: the parent 'none' does not exist"):
        assemble(tiny_bundle, file)


def test_weights_that_are_no_weights_are_an_engine_error(tiny_bundle: Path, tmp_path: Path) -> None:
    directory = altered(tiny_bundle, tmp_path / "broken", "base/model.safetensors", b"not safetensors")
    with pytest.raises(EngineError, match="the model can't be loaded"):
        assemble(directory)


@pytest.mark.parametrize("file", ["base/model.safetensors", "adapter/adapter_model.safetensors"])
def test_weights_that_are_missing_are_an_engine_error(tiny_bundle: Path, tmp_path: Path, file: str) -> None:
    weights = load_file(tiny_bundle / file)
    del weights[next(name for name in weights if "layers.1" in name)]
    directory = altered(tiny_bundle, tmp_path / "lacking", file, save(weights, metadata={"format": "pt"}))
    with pytest.raises(EngineError, match=r"layers\.1"):
        assemble(directory)


def altered(bundle: Path, directory: Path, file: str, content: bytes) -> Path:
    """A copy of the bundle with another file in it and hashes that match."""
    shutil.copytree(bundle, directory)
    (directory / file).write_bytes(content)
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    paths = {name: component["path"] for name, component in manifest.pop("components").items()}
    write_manifest(directory, manifest, paths)
    return directory


def test_tags_are_streamed_as_they_are_decided_and_then_the_answer(suggester: Suggester) -> None:
    async def streamed(by: Suggester) -> list[object]:
        return [found async for found in by.stream(SuggestionRequest(Listing(title="Linen shirt for hot days"), min_tags=3))]

    *tags, answer = asyncio.run(streamed(suggester))
    assert answer == ask(suggester, Listing(title="Linen shirt for hot days"), min_tags=3)
    assert tuple(tags) == answer.tags
    assert len(tags) >= 3


def test_an_engine_without_pieces_streams_when_the_answer_is_there(suggester: Suggester, tiny_bundle: Path) -> None:
    class Whole:
        async def generate(self, request: GenerationRequest) -> Generation:
            return await suggester.engine.generate(request)

        async def close(self) -> None:
            pass

    async def streamed() -> list[object]:
        return [found async for found in suggester_with(Whole(), tiny_bundle).stream(SuggestionRequest(Listing(title="Linen")))]

    *tags, answer = asyncio.run(streamed())
    assert answer == ask(suggester, Listing(title="Linen"))
    assert tuple(tags) == answer.tags

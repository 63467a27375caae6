"""The model that is shipped, through the same `Suggester` that serves it."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hangtag.bundle import Bundle
from hangtag.listing import Listing
from hangtag.suggestion import Suggestion
from serve.assemble import assemble
from serve.settings import DEFAULT_BUNDLE
from serve.suggester import Suggester, SuggestionRequest

FOREIGN = """\
label
Sanitary fittings
Headsets
Garden tools
Noise reduction
"""


@pytest.fixture(scope="module")
def bundled() -> Iterator[Suggester]:
    suggester = assemble(DEFAULT_BUNDLE)
    yield suggester
    asyncio.run(suggester.engine.close())


def suggest(suggester: Suggester, *listings: Listing) -> list[Suggestion]:
    async def all_of_them() -> list[Suggestion]:
        return await asyncio.gather(*(suggester.suggest(SuggestionRequest(listing)) for listing in listings))

    return asyncio.run(all_of_them())


def ids(suggestion: Suggestion) -> set[str]:
    return {tag.tag.id for tag in suggestion.tags}


def test_the_worked_example(bundled: Suggester) -> None:
    listing = Listing("高品质蓝牙耳机，降噪效果显著")
    (suggestion,) = suggest(bundled, listing)
    assert suggestion.language == "zh"
    assert {"category/headphones", "feature/noise-cancelling"} <= ids(suggestion)
    quotes = re.findall("“([^”]*)”", suggestion.explanation)
    assert quotes
    assert all(quote in listing.title for quote in quotes)
    assert all(0 < tag.confidence <= 1 for tag in suggestion.tags)


def test_english_is_answered_in_english(bundled: Suggester) -> None:
    listing = Listing("Wireless over-ear headphones with noise cancelling", "Foldable, for commuting.")
    (suggestion,) = suggest(bundled, listing)
    assert {"category/headphones", "feature/noise-cancelling"} <= ids(suggestion)
    assert all(tag.label == tag.tag.labels["en"] for tag in suggestion.tags)


def test_a_vocabulary_that_the_model_never_saw(tmp_path: Path) -> None:
    tags = tmp_path / "tags.csv"
    tags.write_text(FOREIGN, encoding="utf-8")
    suggester = assemble(DEFAULT_BUNDLE, tags)
    english, chinese = suggest(suggester, Listing("Over-ear headphones, all black"), Listing("头戴式耳机，黑色"))
    asyncio.run(suggester.engine.close())
    assert english.tags[0].label == "Headsets"
    assert chinese.tags[0].label == "Headsets"


def test_a_long_listing_is_cut_at_a_sentence_end_and_the_answer_says_so(bundled: Suggester) -> None:
    (suggestion,) = suggest(bundled, Listing("Linen shirt", "A breathable shirt for hot days. " * 300))
    assert "category/shirts" in ids(suggestion)
    assert len(suggestion.notices) == 1
    assert "characters were read" in suggestion.notices[0]


def test_the_bundle_is_small_and_whole() -> None:
    bundle = Bundle.load(DEFAULT_BUNDLE)
    assert bundle.base is not None
    assert bundle.adapter is not None
    weights = [file for part in (bundle.base, bundle.adapter) for file in part.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in weights) < 25_000_000
    vocabulary = bundle.vocabulary
    assert len(vocabulary) >= 1_200
    assert set(vocabulary.languages) == {"en", "zh"}
    assert all(tag.aliases.get("en") and tag.aliases.get("zh") for tag in vocabulary)

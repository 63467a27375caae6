"""What a memory changes in the answers of a `Suggester`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hangtag.errors import InvalidMemory
from hangtag.listing import Listing
from hangtag.suggestion import Suggestion
from hangtag.tag_rules import TagRules
from serve.assemble import assemble
from serve.memory import Memory, fit
from serve.memory.memory import LEADING
from serve.suggester import Suggester, SuggestionRequest
from tests.serve.memory.rows import row, shop, vocabulary


@pytest.fixture(scope="module")
def shop_suggester(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suggester]:
    """Over tags that the model never saw, without a memory."""
    directory = tmp_path_factory.mktemp("shop")
    lines = [f'{{"id": "{tag.id}", "labels": {{"en": "{tag.id}"}}}}\n' for tag in vocabulary()]
    (directory / "tags.jsonl").write_text("".join(lines), encoding="utf-8")
    suggester = assemble(tiny_bundle, directory / "tags.jsonl")
    yield suggester
    asyncio.run(suggester.engine.close())


@pytest.fixture
def remembering(shop_suggester: Suggester, tmp_path: Path) -> Iterator[Suggester]:
    """The same with an empty memory, for one test."""
    shop_suggester.memory = Memory(tmp_path, shop_suggester.vocabulary)
    yield shop_suggester
    shop_suggester.memory = None


def ask(suggester: Suggester, title: str, **options: object) -> Suggestion:
    listing = Listing(title, language="en", id=str(options.pop("id", "")))
    request = SuggestionRequest(listing, explain=False, **options)  # type: ignore[arg-type]
    return asyncio.run(suggester.suggest(request))


def tags(suggestion: Suggestion) -> list[str]:
    return [found.tag.id for found in suggestion.tags]


def test_a_new_tagged_listing_counts_at_the_next_request(remembering: Suggester) -> None:
    memory = remembering.memory
    assert memory is not None
    before = ask(remembering, "airy collar piece", min_tags=2, max_tags=2)
    for wanted in (["Wool", "Socks"], ["Silk", "Shoes"]):
        memory.add([row("1", "airy collar piece", *wanted)])
        assert sorted(tags(ask(remembering, "airy collar piece", min_tags=2, max_tags=2))) == sorted(wanted)
    memory.remove(["1"])
    assert ask(remembering, "airy collar piece", min_tags=2, max_tags=2) == before


def test_confidence_is_how_often_remembered_listings_have_it(remembering: Suggester) -> None:
    assert remembering.memory is not None
    remembering.memory.add(shop(64))
    found = {each.tag.id: each.confidence for each in ask(remembering, "airy collar model 3", min_tags=4, max_tags=4).tags}
    assert min(found.pop("Linen"), found.pop("Shirts")) > max(found.values())


def test_as_many_tags_come_as_remembered_listings_let_one_expect(remembering: Suggester) -> None:
    assert remembering.memory is not None
    remembering.memory.add(shop(64))
    fit(remembering.memory, remembering.candidates)
    assert set(tags(ask(remembering, "airy collar model 3"))) == {"Linen", "Shirts"}
    assert len(ask(remembering, "airy collar model 3", max_tags=1).tags) == 1
    assert len(ask(remembering, "airy collar model 3", min_tags=3, max_tags=5).tags) == 3
    assert len(ask(remembering, "nothing in common").tags) == 1


def test_rules_hold_for_what_is_remembered_too(remembering: Suggester) -> None:
    assert remembering.memory is not None
    remembering.memory.add([row("1", "airy collar", "Linen", "Silk")])
    answer = ask(remembering, "airy collar", min_tags=1, max_tags=1, rules=TagRules(banned=("Linen",)))
    assert tags(answer) == ["Silk"]


def test_a_listing_that_is_held_out_learns_nothing_of_itself(remembering: Suggester) -> None:
    assert remembering.memory is not None
    remembering.memory.add([row("1", "airy collar", "Wool"), row("2", "airy laces", "Silk")])
    assert tags(ask(remembering, "airy collar", id="1", max_tags=1)) == ["Wool"]
    assert tags(ask(remembering, "airy collar", id="1", max_tags=1, hold_out=True)) == ["Silk"]


def test_suggesters_that_remember_differently_are_not_taken_for_each_other(remembering: Suggester) -> None:
    empty = remembering.identity
    assert remembering.memory is not None
    remembering.memory.add(shop(3))
    full = remembering.identity
    remembering.memory = None
    assert len({empty, full, remembering.identity}) == 3


def test_a_memory_that_is_not_there_is_an_error_before_weights_are_read(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidMemory, match="no memory here"):
        assemble(tiny_bundle, memory=tmp_path)


def test_with_the_vocabulary_of_the_bundle_the_model_and_memory_speak_together(tiny_bundle: Path, tmp_path: Path) -> None:
    suggester = assemble(tiny_bundle)
    try:
        suggester.memory = Memory(tmp_path, suggester.vocabulary)
        rows = [replace(each, tags=("material/linen", "category/shirts")) for each in shop(20)[::16]]
        suggester.memory.add(rows)
        assert set(tags(ask(suggester, rows[0].listing.title, min_tags=2, max_tags=2))) == {"material/linen", "category/shirts"}
    finally:
        asyncio.run(suggester.engine.close())


def test_a_memory_that_knows_the_shop_leads_a_model_that_did_not_learn_from_it(tiny_bundle: Path, tmp_path: Path) -> None:
    suggester = assemble(tiny_bundle)
    try:
        memory = suggester.memory = Memory(tmp_path, suggester.vocabulary)
        memory.add([replace(each, tags=("material/linen", "season/summer")[: n % 2 + 1]) for n, each in enumerate(shop(LEADING))])
        fit(memory, suggester.candidates)
        led = ask(suggester, "airy collar model 0")
        assert led.tags[0].tag.id == "material/linen"
        assert led.tags[0].confidence > 0.9
        weights = replace(suggester.bundle.weights, own_memory=1.0)
        suggester.bundle = replace(suggester.bundle, weights=weights)
        assert ask(suggester, "airy collar model 0").tags[0].confidence < 0.9  # what the decoder says: the model is random
    finally:
        asyncio.run(suggester.engine.close())

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hangtag.errors import InvalidRules
from hangtag.history import Event, InterestProfile
from hangtag.listing import Listing
from hangtag.suggestion import Suggestion, with_interests
from serve.engines.engine import Generation, GenerationRequest
from serve.suggester import Suggester, SuggestionRequest
from tests.tiny import suggester_with

LISTING = Listing(title="A present")


def ask(suggester: Suggester, **options: object) -> Suggestion:
    return asyncio.run(suggester.suggest(SuggestionRequest(LISTING, **options)))  # type: ignore[arg-type]


def likes(suggester: Suggester, *tags: str, type: str = "purchase") -> InterestProfile:
    now = datetime.now(UTC)
    return InterestProfile.from_events([Event(type, now - timedelta(minutes=1), tags)] * 400, suggester.vocabulary, now=now)


def ids(suggestion: Suggestion) -> list[str]:
    return [found.tag.id for found in suggestion.tags]


def absent(suggester: Suggester, **options: object) -> str:
    """A tag that an answer to nobody in particular does not have."""
    return next(tag.id for tag in suggester.vocabulary if tag.id not in ids(ask(suggester, **options)))


def test_a_tag_that_interests_brought_about_is_named_and_no_other(suggester: Suggester) -> None:
    liked = absent(suggester, max_tags=2)
    plain, personal = ask(suggester, max_tags=2), ask(suggester, max_tags=2, profile=likes(suggester, liked))
    assert not any(found.owed_to_interests for found in plain.tags)
    assert "interests" not in plain.explanation
    assert [found.tag.id for found in personal.tags if found.owed_to_interests] == [liked]
    label = suggester.vocabulary.tags[suggester.vocabulary.index(liked)].label("en")
    assert personal.explanation.endswith(f"Chosen for your interests: {label}.")


def test_an_interest_that_changed_nothing_is_not_named(suggester: Suggester) -> None:
    everything = [tag.id for tag in suggester.vocabulary]
    personal = ask(suggester, min_tags=len(everything), max_tags=len(everything), profile=likes(suggester, everything[0]))
    assert set(ids(personal)) == set(everything)
    assert not any(found.owed_to_interests for found in personal.tags)
    assert "interests" not in personal.explanation


def test_without_an_explanation_there_is_no_clause(suggester: Suggester) -> None:
    liked = absent(suggester, max_tags=1)
    suggestion = ask(suggester, max_tags=1, explain=False, profile=likes(suggester, liked))
    assert suggestion.explanation == ""
    assert suggestion.tags[0].owed_to_interests


def test_personalise_says_how_much(suggester: Suggester) -> None:
    liked = absent(suggester, max_tags=1)
    profile = likes(suggester, liked)
    assert ask(suggester, max_tags=1, profile=profile, personalise=0.0) == ask(suggester, max_tags=1)
    assert ids(ask(suggester, max_tags=1, profile=profile, personalise=1.0)) == [liked]
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidRules, match="between 0 and 1"):
            ask(suggester, profile=profile, personalise=wrong)


def test_dislikes_count_against(suggester: Suggester) -> None:
    first = ids(ask(suggester, max_tags=1))[0]
    suggestion = ask(suggester, max_tags=1, profile=likes(suggester, first, type="dislike"))
    assert ids(suggestion) != [first]
    assert not suggestion.tags[0].owed_to_interests


def test_a_stream_ends_with_the_same_answer(suggester: Suggester) -> None:
    request = SuggestionRequest(LISTING, max_tags=2, profile=likes(suggester, absent(suggester, max_tags=2)))

    async def last() -> object:
        return [each async for each in suggester.stream(request)][-1]

    assert asyncio.run(last()) == asyncio.run(suggester.suggest(request))


class Recording:
    """An engine that keeps what it was asked, and has another answer."""

    def __init__(self, suggester: Suggester) -> None:
        self._engine = suggester.engine
        self.asked: list[GenerationRequest] = []

    async def generate(self, request: GenerationRequest) -> Generation:
        self.asked.append(request)
        return await self._engine.generate(request)

    async def close(self) -> None:
        pass


def test_where_interests_count_little_only_strong_ones_are_named(suggester: Suggester, tiny_bundle: Path) -> None:
    engine = Recording(suggester)
    recording = suggester_with(engine, tiny_bundle)
    linen, shoes = (suggester.vocabulary.index(id) for id in ("material/linen", "category/shoes"))
    profile = InterestProfile({linen: 0.2, shoes: 50.0})
    prompts = []
    for known, personalise in (
        (profile, 0.0),
        (profile, 0.01),
        (profile, 0.3),
        (InterestProfile({shoes: 50.0}), 1.0),
        (profile, 1.0),
    ):
        engine.asked.clear()
        ask(recording, profile=known, personalise=personalise, max_tags=1)
        prompts.append(engine.asked[0].prompt)
    nobody, hardly, little, strong, all = prompts
    assert nobody == hardly != little == strong != all


def test_interests_stand_at_the_end_of_the_prompt_and_events_nowhere(suggester: Suggester, tiny_bundle: Path) -> None:
    engine = Recording(suggester)
    recording = suggester_with(engine, tiny_bundle)
    ask(recording)
    ask(recording, profile=likes(suggester, "material/linen"))
    plain, personal = engine.asked[:2]
    shared = next((at for at, (a, b) in enumerate(zip(plain.prompt, personal.prompt, strict=False)) if a != b), len(plain.prompt))
    assert shared >= len(plain.prompt) - 3
    assert personal.prior.weights[suggester.vocabulary.index("material/linen")] > 0


def test_nobody_is_asked_again_where_no_interest_is_in_the_answer(suggester: Suggester, tiny_bundle: Path) -> None:
    engine = Recording(suggester)
    recording = suggester_with(engine, tiny_bundle)
    first = ids(ask(recording, max_tags=1))[0]
    ask(recording, max_tags=1, profile=likes(suggester, first, type="dislike"))
    assert len(engine.asked) == 2
    ask(recording, max_tags=1, profile=likes(suggester, first))
    assert len(engine.asked) == 4


def test_the_clause_is_in_the_language_of_the_answer() -> None:
    assert with_interests("文中提到“棉”。", ["亚麻", "红"], "zh-CN") == "文中提到“棉”。因您的兴趣而选：亚麻、红。"
    assert with_interests("", ["Linen", "Red"], "en") == "Chosen for your interests: Linen, Red."
    assert with_interests("Il dit “lin”.", ["Lin"], "fr") == "Il dit “lin”."
    assert with_interests("It says “linen”.", [], "en") == "It says “linen”."

import asyncio
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hangtag.bundle import Bundle, write_calibration
from hangtag.calibration import ANY, MEMORY, WORDS, Calibration, Calibrations, Clues, Promise
from hangtag.errors import InvalidRules
from hangtag.listing import Listing
from hangtag.prior import TagPrior
from hangtag.suggestion import Suggestion, TagSuggestion
from serve.assemble import assemble
from serve.confidence import confidence_by, confident
from serve.memory import Estimates
from serve.suggester import LEAST_CONFIDENCE, Suggester, SuggestionRequest

LISTING = Listing(title="Linen shirt for hot days")
CURVE = Calibration(0.2, (0.0, -0.5), 1.0, (-30.0, 0.0, 3.0), (0.0, 0.5, 0.95), Promise(0.9, 0.8, 0.3, 0.9))
REMEMBERED = Estimates(np.array([3, 1]), np.array([2.0, 40.0]))
WITH_CURVE = replace(REMEMBERED, curve=replace(CURVE, rows=7))


def ask(suggester: Suggester) -> Suggestion:
    return asyncio.run(suggester.suggest(SuggestionRequest(LISTING, min_tags=3, max_tags=3)))


@pytest.fixture(scope="module")
def calibrated(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with a curve for each case, told apart by `rows`."""
    directory = tmp_path_factory.mktemp("calibrated") / "tiny"
    shutil.copytree(tiny_bundle, directory)
    own = Bundle.load(directory).vocabulary.hash
    keys = [(own, WORDS), (own, MEMORY), ("mine", WORDS), ("mine", MEMORY), (ANY, WORDS)]
    return write_calibration(directory, Calibrations({key: replace(CURVE, rows=place) for place, key in enumerate(keys)}))


@pytest.mark.parametrize(
    ("vocabulary", "remembered", "rows"),
    [
        ("own", None, 0),
        ("own", REMEMBERED, 1),
        ("mine", None, 2),
        ("mine", REMEMBERED, 3),
        ("theirs", None, 4),
        ("theirs", REMEMBERED, None),
        ("theirs", WITH_CURVE, 7),
        ("mine", WITH_CURVE, 3),
        ("own", WITH_CURVE, 1),
    ],
)
def test_one_rule_says_which_curve_is_used(
    calibrated: Bundle, vocabulary: str, remembered: Estimates | None, rows: int | None
) -> None:
    name = calibrated.vocabulary.hash if vocabulary == "own" else vocabulary
    curve = confidence_by(calibrated, name, TagPrior({}), remembered).curve
    assert (curve.rows if curve else None) == rows


def test_its_own_vocabulary_is_not_any_and_what_a_memory_says_without_the_model_is_not_for_it(calibrated: Bundle) -> None:
    only_any = replace(calibrated, calibrations=Calibrations({(ANY, WORDS): CURVE}))
    for remembered in (None, WITH_CURVE):
        assert confidence_by(only_any, calibrated.vocabulary.hash, TagPrior({}), remembered).curve is None


def test_evidence_is_the_words_or_else_the_memory(calibrated: Bundle) -> None:
    words = confidence_by(calibrated, "mine", TagPrior({3: 4.5}), None)
    assert [words.judge(tag, 1, -1.0).clues for tag in (3, 5)] == [Clues(-1.0, 1, 4.5), Clues(-1.0, 1, 0.0)]
    memory = confidence_by(calibrated, "mine", TagPrior({3: 4.5}), REMEMBERED)
    assert [memory.judge(tag, 2, -1.0).clues.evidence for tag in (3, 1, 5)] == [2.0, 12.0, -9.0], "within what is told apart"


def test_without_a_curve_a_memory_speaks_for_itself_unless_the_model_knows_the_tags(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    other = confidence_by(bundle, "mine", TagPrior({}), REMEMBERED)
    assert other.judge(3, 1, -5.0).confidence == pytest.approx(1 / (1 + math.exp(-2.0)))
    own = confidence_by(bundle, bundle.vocabulary.hash, TagPrior({}), REMEMBERED)
    assert own.judge(3, 1, -5.0).confidence == pytest.approx(math.exp(-5.0))
    assert [each.judge(1, 1, 0.0).auto for each in (own, other)] == [False, False]
    assert (own.promise, other.promise) == (None, None)


@pytest.mark.parametrize(
    ("least", "count", "kept"),
    [(0.15, 1, [0, 2]), (0.0, 1, [0, 1, 2, 3]), (0.15, 3, [0, 2, 3]), (0.95, 1, [0]), (0.95, 0, []), (1.0, 9, [0, 1, 2, 3])],
)
def test_what_is_hardly_right_is_left_out_unless_it_is_wanted(least: float, count: int, kept: list[int]) -> None:
    assert confident([0.9, 0.05, 0.15, 0.1], least, count) == kept


def test_answers_without_tags_that_are_hardly_right(calibrated: Bundle) -> None:
    suggester = assemble(calibrated.directory)

    async def scene() -> tuple[list[TagSuggestion], list[TagSuggestion], list[TagSuggestion], Suggestion]:
        request = SuggestionRequest(LISTING, min_tags=1, max_tags=5, min_confidence=0.0)
        everything = [each async for each in suggester.stream(request)]
        least = sorted(tag.confidence for tag in everything[:-1])[1]
        some = replace(request, min_confidence=least)
        streamed = [each async for each in suggester.stream(some)]
        usual = await suggester.suggest(replace(request, min_confidence=None))
        await suggester.engine.close()
        assert streamed[-1].tags == tuple(streamed[:-1])
        return everything[:-1], streamed[:-1], [tag for tag in everything[:-1] if tag.confidence >= least], usual

    everything, streamed, confident_ones, usual = asyncio.run(scene())
    assert len(everything) > 1
    assert [tag.tag.id for tag in streamed] == [tag.tag.id for tag in confident_ones]
    assert len(usual.tags) == max(1, sum(tag.confidence >= LEAST_CONFIDENCE for tag in everything))
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidRules, match="min_confidence"):
            SuggestionRequest(LISTING, min_confidence=wrong)


def test_an_answer_is_judged_by_the_bundles_curve(calibrated: Bundle, tiny_bundle: Path) -> None:
    before, after = assemble(tiny_bundle), assemble(calibrated.directory)
    try:
        plain, suggestion = ask(before), ask(after)
        streamed = asyncio.run(_streamed(after))
    finally:
        asyncio.run(before.engine.close())
        asyncio.run(after.engine.close())
    assert (plain.is_calibrated, plain.promise, [found.auto for found in plain.tags]) == (False, None, [False] * 3)
    assert (suggestion.is_calibrated, suggestion.promise) == (True, 0.9)
    assert [found.tag for found in suggestion.tags] == [found.tag for found in plain.tags], "only the numbers change"
    for rank, (found, uncalibrated) in enumerate(zip(suggestion.tags, plain.tags, strict=True), start=1):
        assert found.clues is not None
        assert found.clues.rank == rank
        assert math.exp(found.clues.log_probability) == pytest.approx(uncalibrated.confidence)
        assert found.confidence == pytest.approx(CURVE.probability(found.clues))
        assert found.auto == (found.confidence >= 0.8)
    assert any(found.auto for found in suggestion.tags), "the listing states Linen"
    assert streamed == suggestion.tags
    assert before.identity != after.identity


async def _streamed(suggester: Suggester) -> tuple[TagSuggestion, ...]:
    request = SuggestionRequest(LISTING, min_tags=3, max_tags=3)
    return tuple([piece async for piece in suggester.stream(request) if isinstance(piece, TagSuggestion)])

from pathlib import Path

import pytest

from hangtag.calibration import Clues
from hangtag.listing import Listing
from serve.candidates import Candidates
from serve.memory import Memory, fit
from serve.memory.fitting import FEWEST_LISTINGS, MOST_LISTINGS
from serve.memory.trust import DEFAULT, read_trust
from tests.serve.memory.rows import row, shop, vocabulary


def fitted(memory: Memory, limit: int = MOST_LISTINGS) -> list[float]:
    """Fit; the shares that were heard."""
    heard: list[float] = []
    fit(memory, Candidates(memory.vocabulary), heard.append, limit=limit)
    return heard


def test_what_was_fitted_is_kept_and_used(tmp_path: Path) -> None:
    memory = Memory.build(shop(80), vocabulary(), tmp_path)
    heard = fitted(memory)
    assert heard == sorted(heard)
    assert 0 <= heard[0] < heard[-1] <= 1
    assert memory.trust.fitted_on == 80
    assert read_trust(tmp_path / "trust.json").hash == memory.trust.hash == Memory.open(tmp_path, vocabulary()).trust.hash
    assert memory.trust.figures["nDCG@5, fitted"] > 0.9


def test_likely_tags_are_given_high_probabilities_and_others_low_ones(tmp_path: Path) -> None:
    memory = Memory.build(shop(160), vocabulary(), tmp_path)
    fitted(memory)
    found = memory.estimates(
        Listing("glossy fringe model 3"), Candidates(memory.vocabulary).find(Listing("glossy fringe model 3"))
    )
    chances = {tag.id: found.probability(number) for number, tag in enumerate(memory.vocabulary)}
    assert min(chances["Silk"], chances["Scarves"]) > 0.8
    assert max(chance for tag, chance in chances.items() if tag not in ("Silk", "Scarves")) < 0.2


def test_suggested_tags_are_calibrated_and_a_precision_is_promised(tmp_path: Path) -> None:
    memory = Memory.build(shop(160), vocabulary(), tmp_path)
    fitted(memory)
    curve = Memory.open(tmp_path, vocabulary()).trust.curve
    assert curve is not None
    assert (curve.rows, curve.slope) == (160, 0.0), "no model is asked, so that no path speaks"
    assert curve.promise is not None
    assert curve.promise.kept >= curve.promise.precision == 0.9
    listing = Listing("glossy fringe model 3")
    found = memory.estimates(listing, Candidates(memory.vocabulary).find(listing))
    chances = [curve.probability(Clues(-3.0, rank, found.logit(tag))) for rank, tag in enumerate(found.likeliest(5), start=1)]
    assert [curve.passes(chance) for chance in chances] == [True, True, False, False, False]


def test_a_memory_that_says_nothing_of_tags_is_trusted_little(tmp_path: Path) -> None:
    tags = ("Linen", "Silk", "Wool", "Cotton", "Shoes", "Socks", "Shirts")
    rows = [row(str(number), "airy collar piece", tags[number * 5 % 7]) for number in range(140)]
    memory = Memory.build(rows, vocabulary(), tmp_path)
    fitted(memory)
    found = memory.estimates(Listing("airy collar piece"), [])
    assert all(found.probability(tag) < 0.35 for tag in found.likeliest(7))


def test_a_shop_that_tagged_one_corner_does_not_take_the_rest_for_it(tmp_path: Path) -> None:
    rows = [each for each in shop(400) if "Shirts" in each.tags]
    memory = Memory.build(rows, vocabulary(), tmp_path)
    fitted(memory)
    listing = Listing("Silk scarves with fringe, gift box model", "Packed with care.")
    found = memory.estimates(listing, Candidates(memory.vocabulary).find(listing))
    assert {memory.vocabulary.tags[tag].id for tag in found.likeliest(2)} == {"Silk", "Scarves"}
    assert found.probability(memory.vocabulary.index("Shirts")) < 0.5


def test_listings_that_have_nothing_in_common_leave_the_defaults(tmp_path: Path) -> None:
    memory = Memory.build([row(word, word, "Linen") for word in "山水火土木金日月星云风雨"], vocabulary(), tmp_path)
    fitted(memory)
    assert memory.trust.weights == DEFAULT.weights


@pytest.mark.parametrize("count", [0, 1, FEWEST_LISTINGS - 1])
def test_with_few_listings_the_defaults_stay(tmp_path: Path, count: int) -> None:
    memory = Memory.build(shop(count), vocabulary(), tmp_path)
    fitted(memory)
    assert (memory.trust.hash, memory.trust.fitted_on) == (DEFAULT.hash, 0)


@pytest.mark.parametrize("count", [FEWEST_LISTINGS, FEWEST_LISTINGS + 1])
def test_few_listings_are_enough_to_fit(tmp_path: Path, count: int) -> None:
    memory = Memory.build(shop(count), vocabulary(), tmp_path)
    fitted(memory)
    assert memory.trust.fitted_on == count
    found = memory.estimates(Listing("collar airy model 0"), [])
    assert {memory.vocabulary.tags[tag].id for tag in found.likeliest(2)} == {"Linen", "Shirts"}


def test_fitting_again_after_the_same_rows_gives_the_same(tmp_path: Path) -> None:
    first, second = (Memory.build(shop(30), vocabulary(), tmp_path / name) for name in "ab")
    fitted(first)
    fitted(second)
    assert first.trust.hash == second.trust.hash
    fitted(first)
    assert first.trust.hash == second.trust.hash


def test_no_more_listings_are_held_out_than_said(tmp_path: Path) -> None:
    memory = Memory.build(shop(30), vocabulary(), tmp_path)
    fitted(memory, limit=12)
    assert memory.trust.fitted_on == 12


def test_letters_count_where_names_have_nothing_else_in_common_and_only_there(tmp_path: Path) -> None:
    memory = Memory.build(shop(80), vocabulary(), tmp_path / "words")
    fitted(memory)
    assert memory.trust.letters == 0
    stems = {"Linen": "verdano", "Silk": "tokmiru", "Wool": "gaselpi", "Cotton": "bufrexi"}
    endings = [one + two for one in "bdfgkl" for two in "aeiou"]
    rows = [row(f"{tag}-{end}", stem + end, tag) for tag, stem in stems.items() for end in endings]
    memory = Memory.build(rows, vocabulary(), tmp_path / "letters")
    fitted(memory)
    assert memory.trust.letters > 0
    assert memory.trust.figures["P@1, fitted"] > 0.9


def test_listings_of_one_product_do_not_speak_for_each_other(tmp_path: Path) -> None:
    """Each wording stands in the two listings of one product only: left out together, nothing is known of it."""
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    tags = ("Linen", "Silk", "Wool", "Cotton") * 2
    rows = [row(f"{word}-{copy}", word, tag, product=word) for word, tag in zip(words, tags, strict=True) for copy in ("a", "b")]
    memory = Memory.build(rows, vocabulary(), tmp_path)
    fitted(memory)
    assert memory.trust.figures["P@1, ridge alone"] == 0

import itertools
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hangtag.errors import InvalidData, InvalidMemory
from hangtag.listing import Listing
from serve.candidates import Candidate
from serve.memory import Estimates, Memory
from serve.memory.memory import FLOOR, INDEX, LONGEST_ID, MOST_CERTAIN, TRUST
from serve.memory.trust import DEFAULT
from tests.serve.memory.rows import Tagged, row, shop, vocabulary


def likeliest(memory: Memory, title: str, words: list[Candidate] | None = None, **options: object) -> list[str]:
    """Tags by id, as a request would hear of them."""
    listing = Listing(title, id=str(options.pop("id", "")))
    found = memory.estimates(listing, words or [], **options)  # type: ignore[arg-type]
    return [memory.vocabulary.tags[tag].id for tag in found.likeliest(3)]


def test_a_tagged_listing_counts_at_the_next_look_up(tmp_path: Path) -> None:
    memory = Memory(tmp_path, vocabulary())
    assert (len(memory), likeliest(memory, "airy collar")) == (0, [])
    memory.add([row("1", "airy collar piece", "Linen", "Shirts")])
    assert len(memory) == 1
    assert sorted(likeliest(memory, "airy collar")) == ["Linen", "Shirts"]
    memory.add([row("2", "airy laces", "Shoes")])
    assert likeliest(memory, "airy laces")[0] == "Shoes"


def test_a_known_id_replaces_and_removing_forgets(tmp_path: Path) -> None:
    memory = Memory.build([row("1", "airy collar", "Linen"), row("2", "warm heel", "Socks")], vocabulary(), tmp_path)
    assert memory.add([row("1", "airy collar", "Silk"), row("2", "warm heel", "Socks")]) == {"replaced": 1, "unchanged": 1}
    assert likeliest(memory, "airy collar") == ["Silk"]
    assert memory.remove(["1", "unknown"]) == 1
    assert (likeliest(memory, "airy collar"), len(memory)) == ([], 1)


def test_tags_may_be_given_by_label_path_or_id_and_none_counts_twice(tmp_path: Path) -> None:
    memory = Memory.build([row("1", "airy", "linen", "Linen", "LINEN")], vocabulary(), tmp_path)
    assert memory.tags() == {"Linen": 1}


@pytest.mark.parametrize(
    ("bad", "field", "message"),
    [
        (row("2", "b", "Tweed"), "tags", "row '2': the vocabulary 'shop' has no tag 'Tweed'"),
        (row("2", "b"), "tags", "row '2': it has no tags"),
        (row("", "b", "Linen"), "id", "an id is needed"),
        (row("x" * (LONGEST_ID + 1), "b", "Linen"), "id", "of at most 1,000 characters"),
    ],
)
def test_a_bad_row_is_an_error_and_nothing_of_its_batch_is_remembered(
    tmp_path: Path, bad: Tagged, field: str, message: str
) -> None:
    memory = Memory(tmp_path, vocabulary())
    with pytest.raises(InvalidData, match=message) as caught:
        memory.add([row("1", "a", "Linen"), bad])
    assert (caught.value.field, len(memory)) == (field, 0)
    memory.add([row("1", "a", "Linen")])
    assert len(memory) == 1


def test_similar_listings_come_with_tags_and_likeness(tmp_path: Path) -> None:
    memory = Memory.build(shop(40), vocabulary(), tmp_path)
    first, *others = memory.similar(Listing("collar airy model 0"), 5)
    assert (first.title, first.tags, first.id) == ("collar airy model 0", ("Linen", "Shirts"), "shop-0")
    assert first.score == pytest.approx(1, abs=1e-6)
    assert len(others) == 4
    assert all(1 > one.score >= other.score > 0 for one, other in itertools.pairwise(others))
    assert memory.similar(Listing("nothing in common"), 5) == []


def test_a_listing_that_is_held_out_is_not_remembered_and_its_product_neither(tmp_path: Path) -> None:
    rows = [row("1", "airy collar", "Linen", product="p"), row("2", "airy collar", "Silk", product="p"), row("3", "airy", "Wool")]
    memory = Memory.build(rows, vocabulary(), tmp_path)
    assert set(likeliest(memory, "airy collar", id="1")) == {"Linen", "Silk", "Wool"}
    assert likeliest(memory, "airy collar", id="1", hold_out=True) == ["Wool"]
    assert set(likeliest(memory, "airy collar", id="unknown", hold_out=True)) == {"Linen", "Silk", "Wool"}


def test_a_tag_that_only_the_held_out_listing_has_is_unused(tmp_path: Path) -> None:
    memory = Memory.build([row("1", "airy", "Linen"), row("2", "airy", "Silk")], vocabulary(), tmp_path)
    words = [Candidate(memory.vocabulary.index("Linen"), 1.0, True)]
    (held,) = memory.sample(1)
    table = memory.evidence(Listing("airy", id="1"), words, replace(held, id="1", group="1", tags=("Linen",)))
    assert table.tags.tolist() == [memory.vocabulary.index("Linen"), memory.vocabulary.index("Silk")]
    assert table.table[:, -4].tolist() == [1, 0]  # unused


def test_words_count_beside_neighbours(tmp_path: Path) -> None:
    memory = Memory.build([row("1", "airy", "Linen")], vocabulary(), tmp_path)
    silk = memory.vocabulary.index("Silk")
    assert likeliest(memory, "something else", [Candidate(silk, 1.0, True)]) == ["Silk"]


def test_tags_that_the_vocabulary_lacks_are_passed_over(tmp_path: Path) -> None:
    Memory.build([row("1", "airy", "Linen", "Shirts")], vocabulary(), tmp_path).close()
    smaller = Memory.open(tmp_path, vocabulary().__class__("small", [tag for tag in vocabulary() if tag.id == "Shirts"]))
    assert (len(smaller), likeliest(smaller, "airy")) == (1, ["Shirts"])
    assert smaller.tags() == {"Linen": 1, "Shirts": 1}


def test_another_process_adds_and_this_one_hears_of_it(tmp_path: Path) -> None:
    memory = Memory.build([row("1", "airy", "Linen")], vocabulary(), tmp_path)
    memory.close()
    script = """
    import sys
    from pathlib import Path
    from serve.memory import Memory
    from serve.memory.trust import DEFAULT
    from tests.serve.memory.rows import row, vocabulary

    memory = Memory.open(Path(sys.argv[1]), vocabulary())
    memory.add([row("2", "glossy fringe", "Silk")])
    memory.use(DEFAULT.__class__(DEFAULT.bias - 1, DEFAULT.weights))
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], env=environment, check=True, timeout=120)
    assert likeliest(memory, "glossy fringe") == ["Silk"]
    assert memory.trust.bias == DEFAULT.bias - 1
    memory.add([row("3", "warm", "Wool")])
    assert len(memory) == 3


def test_a_folder_without_a_memory_and_one_with_a_memory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InvalidMemory, match="no memory here; make one with `hangtag memory add"):
        Memory.open(tmp_path, vocabulary())
    Memory.build([row("1", "airy", "Linen")], vocabulary(), tmp_path)
    with pytest.raises(InvalidMemory, match="a memory is here already"):
        Memory.build([], vocabulary(), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidMemory, match="a broken one"):
        Memory(tmp_path / "file", vocabulary())


def test_a_trust_that_breaks_while_serving_is_an_error_until_it_is_fitted_again(tmp_path: Path) -> None:
    memory = Memory.build([row("1", "airy", "Linen")], vocabulary(), tmp_path)
    (tmp_path / TRUST).write_text("{", encoding="utf-8")
    with pytest.raises(InvalidMemory, match=TRUST):
        likeliest(memory, "airy")
    with pytest.raises(InvalidMemory, match=TRUST):
        Memory.open(tmp_path, vocabulary())
    memory.use(DEFAULT)
    assert likeliest(memory, "airy") == ["Linen"]


def test_memories_made_alike_are_equal_and_what_changes_them_shows(tmp_path: Path) -> None:
    first, second = (Memory.build(shop(9), vocabulary(), tmp_path / name) for name in "ab")
    assert first.identity == second.identity
    second.add(shop(9))
    assert first.identity == second.identity
    second.add(shop(10))
    assert first.identity != second.identity
    before = first.identity
    first.use(replace(DEFAULT, letters=0.5), keep=False)
    assert first.identity != before
    assert not (tmp_path / "a" / TRUST).exists()
    assert (tmp_path / "a" / INDEX).is_dir()


def test_estimates_are_probabilities_and_a_prior() -> None:
    found = Estimates(np.array([4, 2, 7]), np.array([20.0, 0.0, FLOOR - 1]))
    assert found.likeliest(2) == [4, 2]
    assert found.probability(4) == pytest.approx(1 / (1 + np.exp(-MOST_CERTAIN)))
    assert found.probability(2) == 0.5
    assert found.probability(7) == found.probability(1) == pytest.approx(1 / (1 + np.exp(-FLOOR)))
    assert dict(found.prior(2.0).weights) == {4: 2 * (MOST_CERTAIN - FLOOR), 2: -2 * FLOOR}
    assert dict(replace(found, trust=0.5).prior(2.0).weights) == {4: 0.5 * (MOST_CERTAIN - FLOOR), 2: -0.5 * FLOOR}
    assert dict(found.prior(2.0, -1.0).weights) == {4: 2 * (MOST_CERTAIN + 1), 2: 2}
    assert [replace(found, enough=enough).believed for enough in (-1e9, -1.0, 0.0, 0.1, 30.0)] == [3, 2, 2, 1, 0]
    left = np.array([True] * 4 + [False] * 4)
    assert found.within(left).likeliest(5) == [2]


CHANGES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.sampled_from(["Linen", "Silk", "Wool"]), st.sampled_from(["airy", "warm"])),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(CHANGES)
def test_the_memory_is_what_a_dictionary_would_be(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[bool, int, str, str]]
) -> None:
    memory, known = Memory(tmp_path_factory.mktemp("memory"), vocabulary()), {}
    for is_added, number, tag, title in changes:
        if is_added:
            memory.add([row(str(number), title, tag)])
            known[str(number)] = (title, tag)
        else:
            assert memory.remove([str(number)]) == int(known.pop(str(number), None) is not None)
        assert len(memory) == len(known)
    for title in ("airy", "warm"):
        found = {(neighbour.id, neighbour.tags) for neighbour in memory.similar(Listing(title), 10)}
        assert found == {(id, (tag,)) for id, (of, tag) in known.items() if of == title}
    memory.close()

from collections import Counter
from itertools import pairwise

import pytest

from eval.speed.tags import FEWEST_TAGS, LIMITED_FACET, make_samples, make_vocabulary
from hangtag.errors import InvalidSettings
from hangtag.text import is_han


def test_a_larger_vocabulary_begins_with_the_smaller_one() -> None:
    small, large = make_vocabulary(200), make_vocabulary(1000)
    assert large.tags[:200] == small.tags
    assert make_vocabulary(1000).hash == large.hash


def test_half_of_the_tags_are_chinese_and_there_are_twelve_facets() -> None:
    vocabulary = make_vocabulary(1000)
    chinese = sum(any(map(is_han, tag.id)) for tag in vocabulary)
    assert 480 <= chinese <= 500
    assert len(Counter(tag.facet for tag in vocabulary)) == 12


def test_labels_share_beginnings_and_some_begin_another() -> None:
    labels = sorted(tag.id for tag in make_vocabulary(2000))
    assert sum(after.startswith(before) for before, after in pairwise(labels)) > 20


@pytest.mark.parametrize("size", [FEWEST_TAGS - 1, 10**9])
def test_sizes_that_can_not_be_made_are_refused(size: int) -> None:
    with pytest.raises(InvalidSettings, match="can't be made"):
        make_vocabulary(size)


def test_samples_fit_every_vocabulary_and_keep_the_facet_limit() -> None:
    vocabulary = make_vocabulary(FEWEST_TAGS)
    samples = make_samples(vocabulary, 16)
    assert samples == make_samples(make_vocabulary(500), 16)
    for sample in samples:
        assert len(set(sample.tags)) == len(sample.tags) >= 3
        assert sum(vocabulary.tags[tag].facet == LIMITED_FACET for tag in sample.tags) <= 1
    assert any("“" in sample.explanation for sample in samples)
    assert any("“" not in sample.explanation for sample in samples)
    assert len({sample.lines for sample in samples}) == 16

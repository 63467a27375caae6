from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from hangtag.errors import InvalidHistory
from hangtag.history import Event, InterestProfile, microseconds, moment, rarity
from tests.fakes import vocabulary_of

NOW = datetime(2026, 1, 10, tzinfo=UTC)
VOCABULARY = vocabulary_of("Bluetooth", "Wired", "Red")


def event(type, hours, *tags):
    return Event(type, NOW - timedelta(hours=hours), tags)


def test_recent_and_strong_events_count_more():
    profile = InterestProfile.from_events([event("purchase", 100, "Wired"), event("view", 1, "Bluetooth")], VOCABULARY, now=NOW)
    assert profile.weights == pytest.approx({1: 4 * 101**-0.5, 0: 2**-0.5})
    assert profile.summary(VOCABULARY, "en") == ["Bluetooth", "Wired"]


def test_negative_events_count_against_and_are_not_summed_up():
    profile = InterestProfile.from_events([event("dislike", 1, "Red")], VOCABULARY, now=NOW)
    assert profile.summary(VOCABULARY, "en") == []
    assert profile.prior().weights[2] < 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: event("wave", 1), "unknown event type 'wave'"),
        (lambda: Event("view", datetime(2026, 1, 1)), "no zone"),
        (lambda: Event("view", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))), "outside the years"),
        (lambda: InterestProfile.from_events([event("view", -2)], VOCABULARY, now=NOW), "future"),
        (lambda: InterestProfile.from_events([event("view", 2, "Blue")], VOCABULARY, now=NOW), "unknown tag 'Blue'"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InvalidHistory, match=message):
        make()


def test_the_strongest_interests_are_for_or_against():
    profile = InterestProfile({0: 0.5, 1: -2.0, 2: 1.0, 3: 0.1, 4: 1.0})
    assert profile.strongest(3).weights == {1: -2.0, 2: 1.0, 4: 1.0}
    assert profile.strongest(5) is profile


def test_interests_in_some_tags():
    assert InterestProfile({0: 1.0, 2: -3.0}).within(np.array([True, True, False])).weights == {0: 1.0}


def test_the_less_interests_count_the_stronger_those_that_are_named():
    profile = InterestProfile({0: 0.1, 1: 1.0, 2: 20.0, 3: -9.0})
    named = {share: sorted(profile.convincing(share).weights) for share in (1.0, 0.5, 0.25, 0.1, 1e-320)}
    assert named == {1.0: [0, 1, 2], 0.5: [1, 2], 0.25: [2], 0.1: [], 1e-320: []}


def test_what_everybody_likes_says_less():
    assert rarity(0, 0) == rarity(0, 1000) == 1
    assert 1 > rarity(1, 1000) > rarity(500, 1000) > rarity(1000, 1000) > 0
    assert rarity(1_000_000, 1_000_000) < rarity(1, 1)
    assert InterestProfile({0: 2.0, 1: -1.0}).weighted({0: 0.5}).weights == {0: 1.0, 1: -1.0}


def test_times_are_exact():
    at = datetime(2026, 1, 10, 3, 4, 5, 678901, tzinfo=UTC)
    assert moment(microseconds(at)) == at

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hangtag.decay import ERROR, HOUR, OLDEST_HOURS, TERMS, DecayedSums, power_law

NOW = 4_000_000_000_000_000
ROWS = 4
EVENTS = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.sampled_from([1.0, 2.0, 4.0, -3.0]), st.integers(NOW - 20 * 365 * 24 * HOUR, NOW)),
    max_size=30,
)


def summed(events, sums=None):
    rows, weights, times = (np.array(column) for column in zip(*events, strict=True)) if events else (np.array([]),) * 3
    return (sums or DecayedSums.empty()).add(rows.astype(np.int64), weights.astype(float), times.astype(np.int64), size=ROWS)


def exactly(events, now):
    values = np.zeros(ROWS)
    for row, weight, time in events:
        values[row] += weight * ((now - time) / HOUR + 1) ** -0.5
    return values


def test_an_age_counts_by_the_power_law_within_the_bound_within_a_century():
    ages = np.concatenate([[0.0], np.geomspace(1e-4, OLDEST_HOURS, 20_000)])
    times = (NOW - ages * HOUR).astype(np.int64)
    for age, time in zip(ages[::100], times[::100], strict=True):
        found = DecayedSums.empty().add(np.array([0]), np.array([1.0]), np.array([time]), size=1).values(NOW)
        assert found[0] == pytest.approx(power_law(age), rel=ERROR)


@given(EVENTS, st.integers(0, 10_000 * HOUR))
def test_sums_are_those_of_the_events_however_much_they_cancel(events, later):
    size = sum(abs(weight) * ((NOW + later - time) / HOUR + 1) ** -0.5 for _, weight, time in events)
    assert summed(events).values(NOW + later) == pytest.approx(exactly(events, NOW + later), rel=0, abs=ERROR * size + 1e-12)


@given(EVENTS, st.randoms(use_true_random=False), st.integers(0, 30))
def test_the_order_and_the_parts_in_which_events_come_change_nothing(events, chance, cut):
    shuffled = events.copy()
    chance.shuffle(shuffled)
    parts = summed(shuffled[cut:], summed(shuffled[:cut]))
    at_once = summed(events)
    assert parts.values(NOW) == pytest.approx(at_once.values(NOW), rel=1e-9, abs=1e-12)
    if events:
        assert parts.at == at_once.at == max(time for _, _, time in events)


def test_rows_can_come_later_and_a_fast_clock_counts_as_now():
    sums = DecayedSums.empty().add(np.array([0]), np.array([2.0]), np.array([NOW]), size=1)
    wider = sums.add(np.array([], dtype=np.int64), np.array([]), np.array([], dtype=np.int64), size=3)
    assert wider.terms.shape == (3, TERMS)
    assert wider.values(NOW).tolist() == pytest.approx([2.0, 0.0, 0.0], rel=ERROR)
    assert wider.values(NOW - HOUR).tolist() == wider.values(NOW).tolist()
    assert len(DecayedSums.empty().values(NOW)) == 0

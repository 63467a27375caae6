"""Splits: what stays together, and that nothing but the rows decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eval.rows import Row
from eval.splits import draw, split, split_by_time
from hangtag.errors import InvalidData
from hangtag.listing import Listing

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def _at(*hours: int) -> list[Row]:
    return [Row(Listing("Mug", id=str(n)), ("mug",), at=NOON + timedelta(hours=hour)) for n, hour in enumerate(hours)]


def test_a_split_by_hash_ignores_order_and_keeps_products_together() -> None:
    rows = [Row(Listing("Mug", id=f"{n}.{side}"), ("mug",), f"p{n}") for n in range(500) for side in ("en", "zh")]
    train, test = split(rows)
    assert sorted(row.listing.id for row in train + test) == sorted(row.listing.id for row in rows)
    assert not {row.product_id for row in train} & {row.product_id for row in test}
    assert 0.15 < len(test) / len(rows) < 0.25
    assert {row.listing.id for row in split(reversed(rows))[1]} == {row.listing.id for row in test}
    assert split(rows, 0.0) == (rows, [])
    assert split(rows, 1.0) == ([], rows)


def test_a_split_by_time_puts_the_latest_rows_in_test() -> None:
    rows = _at(3, 0, 4, 1, 2)
    train, test = split_by_time(rows, 0.4)
    assert [row.listing.id for row in train] == ["1", "3", "4"]
    assert [row.listing.id for row in test] == ["0", "2"]
    assert split_by_time(rows, 0.0) == (rows, [])
    assert split_by_time(rows, 1.0) == ([], rows)


def test_rows_of_one_moment_stay_together() -> None:
    assert len(split_by_time(_at(0, 1, 1, 1, 2), 0.4)[1]) == 1
    assert split_by_time(_at(0, 1, 1, 1), 0.5)[1] == []


def test_a_row_without_a_time_can_not_be_split_by_it() -> None:
    with pytest.raises(InvalidData, match="the row 'x' has no time"):
        split_by_time([*_at(1), Row(Listing("Mug", id="x"), ("mug",))])


def test_draws_are_spread_over_0_to_1() -> None:
    draws = [draw(str(n)) for n in range(1000)]
    assert 0 <= min(draws) < 0.01
    assert 0.99 < max(draws) < 1

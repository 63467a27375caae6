"""How rows are split for training and testing: by a hash of the product, or by time. It knows rows, and not what is trained.

Both splits depend on nothing but the rows: not on their order, not on chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from eval.rows import Row
from hangtag.errors import InvalidData


def split(rows: Iterable[Row], share: float = 0.2) -> tuple[list[Row], list[Row]]:
    """(train, test), `share` of the products in test, by SHA-256 of the product's id (of the row's, where it has none): the
    same whatever the order, and no product, in whatever language, is on both sides."""
    halves: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        halves[draw(row.product_id or row.listing.id) < share].append(row)
    return halves


def split_by_time(rows: Sequence[Row], share: float = 0.2) -> tuple[list[Row], list[Row]]:
    """(train, test), the latest `share` of the rows in test; rows of one moment stay together, so test may be smaller. Raises
    `InvalidData` for a row without a time."""
    for row in rows:
        if row.at is None:
            raise InvalidData(f"the row {row.listing.id!r} has no time `at`; split by the hash of the id instead", field="at")
    times = sorted(_time(row) for row in rows)
    first = round(len(times) * (1 - share))
    if first >= len(times):
        return list(rows), []
    border = times[first]
    if first > 0 and times[first - 1] == border:  # that moment began in the training part
        later = [time for time in times if time > border]
        if not later:
            return list(rows), []
        border = later[0]
    return [row for row in rows if _time(row) < border], [row for row in rows if _time(row) >= border]


def draw(id: str) -> float:
    """A number in [0, 1) from SHA-256 of an id: the same whenever and wherever it is drawn."""
    return (int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") >> 11) / 2**53


def _time(row: Row) -> datetime:
    assert row.at is not None
    return row.at

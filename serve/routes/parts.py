"""Bodies that are one item or a list of them: how errors call the items' parts. It knows no item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from hangtag.errors import BatchTooLong, InvalidInput

MOST = 1_000
"""Items of a list."""

B = TypeVar("B")
D = TypeVar("D")


class Parts:
    """The items of a body, which has them as a list called `name`, or is the only one itself (`alone`). Raises `BatchTooLong`."""

    def __init__(self, name: str, count: int, *, alone: bool) -> None:
        if count > MOST:
            raise BatchTooLong(f"{count:,} {name} at once, at most {MOST:,} are taken; send them in parts", field=name)
        self._name = name
        self._alone = alone

    def each(self, items: Iterable[B], make: Callable[[B], D]) -> list[D]:
        """What `make` makes of each. Raises what it raises, with the item's place."""
        made = []
        for position, item in enumerate(items):
            try:
                made.append(make(item))
            except InvalidInput as error:
                place = f"{self._name}[{position}]"
                raise type(error)(f"{place}: {error}", field=f"{place}.{error.field}") from error
        return made

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors about the only item call its parts as the body does."""
        try:
            yield
        except InvalidInput as error:
            if not self._alone:
                raise
            place = f"{self._name}[0]"
            field = error.field.removeprefix(f"{place}.") if error.field is not None else None
            raise type(error)(str(error).removeprefix(f"{place}: "), field=field) from error

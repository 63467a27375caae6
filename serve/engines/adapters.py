"""`AdapterNames`: which LoRA adapters an engine has, and who uses them. It knows names and directories, and loads nothing.

A name belongs to one adapter for good: vLLM's prefix cache knows blocks by the adapter's name, so that a second adapter under
the name of a first would be given states of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from hangtag.errors import InvalidInput

MOST_ADAPTERS = 32
"""Loaded at a time. An engine keeps them all in memory: one that had to be read again in the middle of a step, from a directory
that is gone, would end vLLM."""


@dataclass(slots=True, eq=False)
class Adapter:
    """`number` is from 1 on and unique in its engine; `ready` once the engine can use it."""

    name: str
    directory: Path
    number: int
    ready: bool = False
    _users: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def idle(self) -> None:
        """Wait until nobody uses it."""
        while self._users:
            self._idle.clear()
            await self._idle.wait()


class AdapterNames:
    """For one event loop, like the engine it belongs to."""

    def __init__(self) -> None:
        self._known: dict[str, Adapter] = {}
        self._given: set[str] = set()
        self._numbers = count(1)

    def __iter__(self) -> Iterator[Adapter]:
        return iter([adapter for adapter in self._known.values() if adapter.ready])

    @contextmanager
    def adding(self, name: str, directory: Path) -> Iterator[Adapter]:
        """An adapter to load; it is ready at the end, and forgotten if loading it failed: the name can then be given again.
        Raises `InvalidInput`."""
        if name in self._given:
            raise InvalidInput(
                f"the name {name!r} was given to an adapter before; every version of an adapter needs a name of its own",
                field="adapter",
            )
        if len(self._known) >= MOST_ADAPTERS:
            raise InvalidInput(f"{MOST_ADAPTERS} adapters are loaded, the most there can be; unload one first", field="adapter")
        adapter = Adapter(name, directory, next(self._numbers))
        self._given.add(name)
        self._known[name] = adapter
        try:
            yield adapter
        except BaseException:
            del self._known[name]
            self._given.discard(name)
            raise
        adapter.ready = True

    @contextmanager
    def using(self, name: str | None) -> Iterator[Adapter | None]:
        """The adapter of a request, which is not unloaded meanwhile; None for None. Raises `InvalidInput`."""
        if name is None:
            yield None
            return
        adapter = self._find(name)
        adapter._users += 1
        try:
            yield adapter
        finally:
            adapter._users -= 1
            if not adapter._users:
                adapter._idle.set()

    def remove(self, name: str) -> Adapter:
        """Forget an adapter: nobody can use it from now on; wait for those who do (`Adapter.idle`). Raises `InvalidInput`."""
        adapter = self._find(name)
        del self._known[name]
        return adapter

    def _find(self, name: str) -> Adapter:
        adapter = self._known.get(name)
        if adapter is None or not adapter.ready:
            loaded = ", ".join(sorted(adapter.name for adapter in self)) or "none"
            raise InvalidInput(f"there is no adapter {name!r}; loaded: {loaded}", field="adapter")
        return adapter

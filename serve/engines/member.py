"""`Member`: one server of several, and whether it is used: what it was found to do, what failed, when it is looked at again. It
knows times and reasons; which server a request goes to is for others.

The states are those of a circuit breaker. A server is used until it fails (at once where it can't be reached, else after
MOST_FAILURES in a row), then left alone for a while that doubles each time, and used again once it has passed what every
server has to pass before it is used: it is well, has the right model, and keeps to the vocabulary (`serve.engines.canary`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serve.engines.server import Model, Server

MOST_FAILURES = 3
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds."""


class Member:
    """Not used before `admit`."""

    def __init__(self, server: Server, clock: Callable[[], float] = time.monotonic) -> None:
        self.server = server
        self.model: Model | None = None
        self.reason: str | None = "it has not been asked yet"
        """Why it is not used; None while it is."""
        self.in_flight = 0
        self._clock = clock
        self._failures = 0
        self._pause = SHORTEST_PAUSE
        self._until = clock()
        self._vocabularies: dict[str, str | None] = {}

    @property
    def is_used(self) -> bool:
        return self.reason is None

    @property
    def is_due(self) -> bool:
        """Whether it is not used and should be looked at again."""
        return self.reason is not None and self._clock() >= self._until

    def admit(self, model: Model) -> None:
        """It passed."""
        self.model, self.reason = model, None
        self._failures = 0

    def leave_out(self, reason: str) -> None:
        """Stop using it for a while. What it was found to do before is forgotten: it may come back as another. Requests that were
        there together fail together: while it is left out, it is not left out for longer."""
        if not self.is_used and not self.is_due:
            return
        self._until = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.reason = reason
        self._vocabularies.clear()

    def succeeded(self) -> None:
        """It gave an answer."""
        self._failures = 0
        self._pause = SHORTEST_PAUSE

    def failed(self, reason: str) -> None:
        """It gave none."""
        self._failures += 1
        if self._failures >= MOST_FAILURES and self.is_used:
            self.leave_out(f"{reason} ({self._failures} failures in a row)")

    def keeps(self, vocabulary: str) -> bool | None:
        """Whether it is known to keep to a vocabulary; None where nobody tried."""
        return None if vocabulary not in self._vocabularies else self._vocabularies[vocabulary] is None

    def learn(self, vocabulary: str, reason: str | None) -> None:
        """It was tried; `reason` is why it can't be used for the vocabulary, None where it can."""
        self._vocabularies[vocabulary] = reason

    def forget_refusals(self) -> None:
        """Try again what it would not do: files may have come since."""
        self._vocabularies = {name: reason for name, reason in self._vocabularies.items() if reason is None}

    def troubles(self) -> list[str]:
        if self.reason is not None:
            return [f"{self.server.url} is not used: {self.reason}"]
        refused = sorted({reason for reason in self._vocabularies.values() if reason is not None})
        return [f"{self.server.url} is not used for all vocabularies: {reason}" for reason in refused]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a request is there."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

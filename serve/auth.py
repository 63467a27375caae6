"""Who asks, and how often they may: from an API key to a tenant and its rate limit. It knows keys as
their holders write them, and no request.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from hangtag.errors import InvalidSettings, Overloaded, UnknownKey
from serve.keys import LOCAL_TENANT, KeyFile


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `tenant` owns what is remembered and cached; an `admin` may load adapters and see metrics."""

    tenant: str
    admin: bool = False


class Doorkeeper:
    """Lets callers in by their keys, and not too often. Without `keys` everybody is the local tenant, an admin, and never too
    often: that is for a server that only its own machine can reach."""

    def __init__(self, keys: KeyFile | None = None, rate: str | None = None) -> None:
        """`rate` is what a tenant may ask with keys that have no rate of their own, such as 600/minute; None for any number.
        Raises `InvalidSettings`."""
        self.keys = keys
        self._rate = rate_of(rate) if rate else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def admit(self, secret: str | None) -> Caller:
        """Whose key it is. Raises `UnknownKey`, and `Overloaded` for who asked too often."""
        if self.keys is None:
            return Caller(LOCAL_TENANT, admin=True)
        if secret is None:
            raise UnknownKey("an API key is needed; send the header Authorization: Bearer ht_…")
        key = self.keys.find(secret)
        rate, counted = (rate_of(key.rate), f"key {key.id}") if key.rate else (self._rate, f"tenant {key.tenant}")
        if rate is not None and not await self._limiter.hit(rate, counted):
            until = (await self._limiter.get_window_stats(rate, counted)).reset_time
            raise Overloaded(f"the limit is {rate}; ask again later", retry_after=until - time.time())
        return Caller(key.tenant, key.admin)


def rate_of(text: str) -> limits.RateLimitItem:
    """A rate as a person writes it. Raises `InvalidSettings`."""
    try:
        rate = limits.parse(text)
    except ValueError as error:
        raise InvalidSettings(f"{text!r} is no rate; write a number and a time, such as 600/minute", field="rate") from error
    if rate.amount < 1:
        raise InvalidSettings(f"{text!r} would let nobody in; write 1 at least", field="rate")
    return rate

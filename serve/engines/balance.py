"""Which of several servers a request goes to: the one that has seen the beginning of its prompt before, unless it has more than
its share to do. It knows numbers of requests, and no HTTP.

Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam: https://arxiv.org/abs/1608.01350), with highest random
weights in place of a ring: a listing's prompts find their prefix in the cache of the same server, none has more than
LARGEST_SHARE of the mean load, and when one goes only its own listings move.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

LARGEST_SHARE = 1.25


def choose(names: Sequence[str], loads: Sequence[int], prompt: Sequence[int]) -> int:
    """The position of the server for a prompt; `loads` are the requests that each has now."""
    most = math.ceil(LARGEST_SHARE * (sum(loads) + 1) / len(loads))
    beginning = _beginning(prompt)
    ranked = sorted(range(len(names)), key=lambda position: _weight(names[position], beginning), reverse=True)
    return next(position for position in ranked if loads[position] < most)


def _beginning(prompt: Sequence[int]) -> bytes:
    """What the prompts of a listing share: their ends change with every event, and with them how long they are, so that the
    length is a power of two."""
    length = 1 << max(0, (3 * len(prompt) // 4).bit_length() - 1)
    return np.asarray(prompt[:length], np.int32).tobytes()


def _weight(name: str, beginning: bytes) -> bytes:
    return hashlib.blake2b(beginning, digest_size=8, key=hashlib.sha256(name.encode()).digest()).digest()

"""Packed masks in place: a stored one first, then single bits. They know words and bits, and nothing of why they are set.

Of each row `changes` says which stored mask it began with, how many words were changed since, and which, the first CHANGES of
them: so the next step need not write all words anew.
"""

from __future__ import annotations

import numpy as np

from serve.decoding.forest import FILLED_COUNT, FILLED_FIRST
from serve.decoding.host.native import native
from serve.decoding.host.tables import Floats, Int64, Tables, Words

STORED, COUNT, FIRST = range(3)
CHANGES = 64
NOT_STORED = -1
FORBIDDEN = np.float32(-np.inf)
ALL = np.uint32(0xFFFFFFFF)


def no_changes(rows: int) -> Int64:
    """Of rows whose words are not known."""
    changes = np.zeros((rows, FIRST + CHANGES), np.int64)
    changes[:, STORED] = NOT_STORED
    return changes


@native
def place(t: Tables, row: int, stored: int) -> None:
    """Let a row be a stored mask."""
    words, changes, mask = t.words[row], t.changes[row], t.masks[stored]
    before, few = changes[STORED], t.filled[stored, FILLED_COUNT] >= 0
    if changes[COUNT] > CHANGES or (before != stored and not few):
        for word in range(len(words)):
            words[word] = mask[word]
    elif before == stored:
        for word in changes[FIRST : FIRST + changes[COUNT]]:
            words[word] = mask[word]
    else:
        if before != NOT_STORED and t.filled[before, FILLED_COUNT] >= 0:
            for word in changes[FIRST : FIRST + changes[COUNT]]:
                words[word] = 0
            first = t.filled[before, FILLED_FIRST]
            for word in t.filled_words[first : first + t.filled[before, FILLED_COUNT]]:
                words[word] = 0
        else:
            for word in range(len(words)):
                words[word] = 0
        first = t.filled[stored, FILLED_FIRST]
        for word in t.filled_words[first : first + t.filled[stored, FILLED_COUNT]]:
            words[word] = mask[word]
    changes[STORED], changes[COUNT] = stored, 0


@native
def join(words: Words, changes: Int64, mask: Words) -> None:
    """Add all bits of another mask."""
    for word in range(len(words)):
        words[word] |= mask[word]
    changes[STORED] = NOT_STORED


@native
def flip(words: Words, changes: Int64, token: int) -> None:
    """Let a token be allowed that was not, or the other way round."""
    word, count = token >> 5, changes[COUNT]
    words[word] ^= np.uint32(1 << (token & 31))
    if count < CHANGES:
        changes[FIRST + count] = word
    changes[COUNT] = count + 1


@native
def allow(words: Words, changes: Int64, token: int) -> None:
    """Let a token be allowed."""
    if not words[token >> 5] >> np.uint32(token & 31) & np.uint32(1):
        flip(words, changes, token)


@native
def forbid_others(words: Words, logits: Floats) -> None:
    """Minus infinity for the (width,) logits of tokens that are not allowed."""
    width = len(logits)
    for number, word in enumerate(words):
        if word == ALL:
            continue
        first = number << 5
        part = logits[first : min(first + 32, width)]  # indexes from 0 on are what lets the loops be vectors
        if word == 0:
            for token in range(len(part)):
                part[token] = FORBIDDEN
        else:
            for token in range(len(part)):
                part[token] = part[token] if word >> np.uint32(token) & np.uint32(1) else FORBIDDEN

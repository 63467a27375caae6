"""Text as the domain sees it: normal form, look-up form, language, word boundaries. It knows no tags and no tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SPACE = " "
_ATTRIBUTE = re.compile(r"[^:：]{1,40}(?:: (?=\S)|：(?=\S))")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def normalise(text: str) -> str:
    """NFKC, every run of white space one space, none at the ends: the form in which labels are stored and compared."""
    return SPACE.join(unicodedata.normalize("NFKC", text).split())


def fold(text: str) -> str:
    """The form for look-up only, where case does not count. Never shown and never hashed."""
    return normalise(text).casefold()


def first_control(text: str) -> int | None:
    """Offset of the first character that no listing, label or history may contain: Unicode category Cc (line feed, tab
    and carriage return excepted), Cs (a lone surrogate), or a direction override, which makes text read as what it is not.
    """
    found = _CONTROL.search(text)
    return found.start() if found is not None else None


def attribute_value(label: str) -> str:
    """The value of a label that is written "attribute: value", which is what a listing says of it; any other label as it is."""
    named = _ATTRIBUTE.match(label)
    return label if named is None else label[named.end() :].lstrip()


def is_han(character: str) -> bool:
    """Whether the character is a Chinese ideograph (CJK unified, its extension A, compatibility, or a later plane)."""
    return (
        "\u4e00" <= character <= "\u9fff"
        or "\u3400" <= character <= "\u4dbf"
        or "\uf900" <= character <= "\ufaff"
        or "\U00020000" <= character <= "\U0003ffff"
    )


def detect_language(text: str) -> str:
    """ "zh" or "en", by whether ideographs outnumber a fifth of the words: a Chinese title may carry English model names."""
    han = len(_HAN.findall(text))
    if not han:
        return "en"
    words = sum(1 for word in _HAN.sub("", text).split() if any(map(str.isalpha, word)))
    return "zh" if han * 5 >= words else "en"


def primary_subtag(language: str) -> str:
    """What a BCP 47 tag begins with, in lower case: "zh" of "zh-Hant" and of "ZH_cn"."""
    return language.lower().replace("_", "-").partition("-")[0]


def match_language(wanted: str, available: Collection[str]) -> str | None:
    """The available language for `wanted`, or None: BCP 47 subtags are dropped from the end until one fits (RFC 4647,
    lookup), so that "en-GB" is served by "en"."""
    by_lower = {language.lower(): language for language in available}
    most = max((language.count("-") + 1 for language in by_lower), default=0)
    subtags = wanted.lower().replace("_", "-").split("-", most)[:most]
    for length in range(len(subtags), 0, -1):
        if (found := by_lower.get("-".join(subtags[:length]))) is not None:
            return found
    return None


@lru_cache(maxsize=1 << 16)
def _joins(character: str) -> bool:
    return (character.isalnum() or unicodedata.category(character) in {"Mn", "Mc"}) and not is_han(character)


def is_word_boundary(text: str, offset: int) -> bool:
    """Whether a word may start or end at `offset` (0..len(text)): not between two letters or digits of a script that
    writes spaces. Between ideographs every offset is a boundary."""
    if offset <= 0 or offset >= len(text):
        return True
    return not (_joins(text[offset - 1]) and _joins(text[offset]))


def word_edges(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets, ascending, at which a word of `text` starts, with a letter or digit, and those before which one ends, after
    something that is no white space: boundaries as in `is_word_boundary`, of the whole text at once."""
    if not text:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    joins, alnum, space = (np.fromiter(map(test, text), np.bool_, len(text)) for test in (_joins, str.isalnum, str.isspace))
    inner = ~(joins[:-1] & joins[1:])
    starts = np.concatenate([[True], inner]) & alnum
    ends = np.concatenate([inner, [True]]) & ~space
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1


def sentence_ends(text: str) -> list[int]:
    """Offsets just after each sentence of `text`, ascending; the last is len(text). A full stop inside a number is none."""
    ends = []
    for offset, character in enumerate(text):
        following = text[offset + 1 : offset + 2]
        if character in "。！？!?；\n" or (character == "." and (not following or following.isspace())):
            ends.append(offset + 1)
    if not ends or ends[-1] != len(text):
        ends.append(len(text))
    return ends

"""Text in pieces that can be compared: stemmed words, and runs of Chinese ideographs. It knows no index and no score."""

from __future__ import annotations

import re

from hangtag.text import fold, is_han

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PIECE = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+[+#]*")


def pieces(text: str) -> list[str]:
    """The words of `text`, stemmed, and its runs of ideographs, in order."""
    return [piece if is_han(piece[0]) else stem(piece) for piece in _PIECE.findall(fold(text))]


def stem(word: str) -> str:
    """The word without an English plural's ending (the S stemmer of Harman, How effective is suffixing?, 1991)."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")) and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("us", "ss", "is")) and len(word) > 3 else word

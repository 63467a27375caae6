"""From what people write for a tag (an id, a label, a path, an alias) to the one tag that they mean. It knows no files and never
guesses: what could be two tags is an error that names both.
"""

from __future__ import annotations

from hangtag.errors import InvalidVocabulary
from hangtag.text import fold
from hangtag.vocabulary import TagVocabulary


def tag_named(text: str, vocabulary: TagVocabulary) -> int:
    """The index of the tag: an id as it is written, else a label, else a path or an alias, case folded. Raises
    `InvalidVocabulary` for a text that is none or several."""
    if text in vocabulary:
        return vocabulary.index(text)
    found = vocabulary.find(text)
    labelled = [tag for tag in found if fold(text) in map(fold, vocabulary.tags[tag].labels.values())]
    meant = labelled or found
    if not meant:
        raise InvalidVocabulary(f"the vocabulary {vocabulary.name!r} has no tag {text!r}")
    if len(meant) > 1:
        ids = ", ".join(repr(vocabulary.tags[tag].id) for tag in meant[:5])
        raise InvalidVocabulary(f"{text!r} may mean any of {len(meant)} tags of {vocabulary.name!r}; give an id: {ids}")
    return meant[0]

"""Labels of rows as a vocabulary: forms that differ only in case become one, and say so. It knows rows and vocabularies, no
data set and no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eval.rows import RowFile
from hangtag.text import fold, normalise
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary


@dataclass(frozen=True, slots=True)
class Merged:
    """Forms of one label that differ only in case (or width): the one that is kept, and how often each was written."""

    kept: str
    forms: Mapping[str, int]

    def line(self) -> str:
        """As a person reads it: the form that is kept, and the others with their counts."""
        others = ", ".join(f"{form!r} ({count:,})" for form, count in self.forms.items() if form != self.kept)
        return f"{self.kept!r} ({self.forms.get(self.kept, 0):,}) also stands for {others}"


def merge(counts: Mapping[str, int]) -> tuple[dict[str, str], list[Merged]]:
    """Folded label -> the form that is kept, the most frequent one and of equals the first; and the groups of several forms."""
    groups: dict[str, dict[str, int]] = {}
    for label, count in counts.items():
        groups.setdefault(fold(label), {})[label] = count
    kept = {folded: max(group, key=lambda form: group[form]) for folded, group in groups.items()}  # max: of equals the first
    merged = [Merged(kept[folded], group) for folded, group in groups.items() if len(group) > 1]
    return kept, sorted(merged, key=lambda group: group.kept)


def vocabulary_of(labels: Iterable[str], name: str) -> TagVocabulary:
    """A vocabulary of plain labels in sorted order; ids are labels. Raises `InvalidVocabulary` for a label that is too long."""
    return TagVocabulary(name, [Tag(id=label, labels={ANY_LANGUAGE: label}) for label in sorted(set(labels))])


def labels_of(files: Iterable[RowFile], name: str) -> tuple[TagVocabulary, list[Merged]]:
    """The vocabulary of all labels in the files, case variants merged, and what was merged."""
    counts = Counter(normalise(tag) for file in files for row in file.rows for tag in row.tags)
    kept, merged = merge(counts)
    return vocabulary_of(kept.values(), name), merged

"""`Tag` and `TagVocabulary`: the closed set of tags that answers are made of. It knows no files, tokens or models."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from hangtag.errors import InvalidVocabulary, UnknownLanguage
from hangtag.text import attribute_value, first_control, fold, match_language, normalise

ANY_LANGUAGE = "und"
"""BCP 47's "undetermined": labels of a plain list, written whatever language the answer is in."""

PATH_SEPARATOR = " > "
MAX_LABEL_CHARACTERS = 200
NEAR = 0.75
"""How alike two wordings are, by difflib's ratio, of which one may be a slip of the other."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag. `labels` and `aliases` are by language; aliases are other wordings that mean this tag, for look-up only.
    `parent` is the id of a broader tag. Texts are normalised by `TagVocabulary`, not here."""

    id: str
    labels: Mapping[str, str]
    facet: str = ""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    definition: str = ""
    parent: str | None = None

    def label(self, language: str) -> str:
        """The label in `language`, else the undetermined one, else the first there is."""
        return self.labels.get(language) or self.labels.get(ANY_LANGUAGE) or next(iter(self.labels.values()))

    def wordings(self, language: str) -> list[str]:
        """What a listing may say of the tag: the label, of one like "attribute: value" also the value, and the aliases in
        `language`."""
        label = self.label(language)
        aliases = [*self.aliases.get(language, ()), *self.aliases.get(ANY_LANGUAGE, ())]
        return list(dict.fromkeys([label, attribute_value(label), *aliases]))


class TagVocabulary:
    """A named, ordered, immutable set of tags. Position in `tags` is the tag's index everywhere else.

    Raises `InvalidVocabulary` for: no tags, a repeated id, an empty or too long label, control characters, an unknown or
    circular parent, two tags with the same path in a language. `places` (one a tag, e.g. "line 7") are named in the message.
    """

    def __init__(self, name: str, tags: Iterable[Tag], *, places: Sequence[str] | None = None) -> None:
        given = list(tags)
        self.name = name
        self._places = list(places) if places is not None else [f"tag {position + 1}" for position in range(len(given))]
        if not given:
            raise InvalidVocabulary(f"the vocabulary {name!r} has no tags")
        self.tags: tuple[Tag, ...] = tuple(self._normalised(tag, place) for tag, place in zip(given, self._places, strict=True))
        self._index: dict[str, int] = {}
        for position, tag in enumerate(self.tags):
            if (other := self._index.setdefault(tag.id, position)) != position:
                raise InvalidVocabulary(f"{self._both(other, position)} have the same id {tag.id!r}; ids must differ")
        self._ancestors = [self._path(position) for position in range(len(self.tags))]
        self._written: dict[str, tuple[str, ...]] = {language: self._write(language) for language in self.languages}

    def __len__(self) -> int:
        return len(self.tags)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self.tags)

    def __contains__(self, tag_id: object) -> bool:
        return tag_id in self._index

    def index(self, tag_id: str) -> int:
        """Position of the tag. Raises `InvalidVocabulary` for an id that does not exist."""
        try:
            return self._index[tag_id]
        except KeyError:
            raise InvalidVocabulary(f"the vocabulary {self.name!r} has no tag with the id {tag_id!r}") from None

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages in which there are labels, sorted; "und" among them if any tag has only that."""
        return tuple(sorted({language for tag in self.tags for language in tag.labels}))

    @cached_property
    def facets(self) -> tuple[str, ...]:
        """The facets that tags have, sorted."""
        return tuple(sorted({tag.facet for tag in self.tags if tag.facet}))

    def speaks(self, language: str) -> bool:
        """Whether answers can be written in `language`: some tag has a label in it, or labels are undetermined."""
        return match_language(language, self.languages) is not None or ANY_LANGUAGE in self.languages

    def written(self, language: str) -> tuple[str, ...]:
        """What stands in an answer for each tag, all different: the label, or the shortest path that is unique
        ("Shirts > Linen") where labels are equal. Raises `UnknownLanguage`."""
        if (match := match_language(language, self._written)) is not None:
            return self._written[match]
        if ANY_LANGUAGE in self._written:
            return self._written[ANY_LANGUAGE]
        raise UnknownLanguage(
            f"the vocabulary {self.name!r} has no labels in {language!r}, it has: {', '.join(self.languages)}", field="language"
        )

    def find(self, text: str) -> list[int]:
        """Indexes of the tags that have `text` as id, label, written path or alias in any language, case folded; those
        that carry it as id or label come first."""
        return list(self._by_wording.get(fold(text), ()))

    def nearest(self, text: str) -> int | None:
        """The index of the tag that `text` most likely means: one that `find` finds, else the one whose wording is spelt most
        like it; None where nothing is much like it. For hints only: it may be another tag."""
        if found := self.find(text):
            return found[0]
        if len(text) > MAX_LABEL_CHARACTERS:
            return None
        near = get_close_matches(fold(text), self._by_wording, 1, NEAR)
        return self._by_wording[near[0]][0] if near else None

    @cached_property
    def _by_wording(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        names = [[tag.id, *tag.labels.values()] for tag in self.tags]
        for language in self.languages:
            for position, path in enumerate(self._written[language]):
                names[position].append(path)
        aliases = [[alias for group in tag.aliases.values() for alias in group] for tag in self.tags]
        for wordings in (names, aliases):
            for position, texts in enumerate(wordings):
                for text in texts:
                    if position not in found[fold(text)]:
                        found[fold(text)].append(position)
        return dict(found)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the content in canonical JSON (the name is no part of it): equal hashes, equal answers possible."""
        rows = [
            [t.id, dict(sorted(t.labels.items())), t.facet, dict(sorted(t.aliases.items())), t.definition, t.parent]
            for t in self.tags
        ]
        canonical = json.dumps(rows, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _both(self, first: int, second: int) -> str:
        return f"{self.name}: {self._places[first]} and {self._places[second]}"

    def _normalised(self, tag: Tag, place: str) -> Tag:
        def clean(text: str, what: str) -> str:
            if first_control(text) is not None:
                raise InvalidVocabulary(f"{self.name}: {place}: the {what} {text!r} has a control character; remove it")
            return normalise(text)

        labels = {language: clean(label, "label") for language, label in tag.labels.items()}
        labels = {language: label for language, label in labels.items() if label}
        if not labels:
            raise InvalidVocabulary(f"{self.name}: {place}: the tag has no label")
        for label in labels.values():
            if len(label) > MAX_LABEL_CHARACTERS:
                raise InvalidVocabulary(
                    f"{self.name}: {place}: the label {label[:40]!r}... has {len(label)} characters, at most"
                    f" {MAX_LABEL_CHARACTERS} are allowed"
                )
        aliases = {
            language: tuple(dict.fromkeys(a for a in (clean(alias, "alias") for alias in group) if a))
            for language, group in tag.aliases.items()
        }
        return Tag(
            id=clean(tag.id, "id") or next(iter(labels.values())),
            labels=labels,
            facet=clean(tag.facet, "facet"),
            aliases={language: group for language, group in aliases.items() if group},
            definition=clean(tag.definition, "definition"),
            parent=clean(tag.parent, "parent") or None if tag.parent is not None else None,
        )

    def _path(self, position: int) -> list[int]:
        """The tag and its ancestors, nearest first."""
        path, seen = [position], {position}
        while (parent := self.tags[path[-1]].parent) is not None:
            if parent not in self._index:
                place = self._places[path[-1]]
                message = f"{self.name}: {place}: the parent {parent!r} does not exist; add it or leave the parent empty"
                raise InvalidVocabulary(message)
            above = self._index[parent]
            if above in seen:
                raise InvalidVocabulary(
                    f"{self.name}: {self._places[position]}: the parents of {self.tags[position].id!r} go in a circle"
                )
            path.append(above)
            seen.add(above)
        return path

    def _write(self, language: str) -> tuple[str, ...]:
        """Lengthen the paths (facet, ancestors, label) of all tags that share what is written, until nothing is shared or
        nothing can be longer."""
        depth = [1] * len(self.tags)

        def steps(position: int) -> list[str]:
            facet = self.tags[position].facet
            return [self.tags[above].label(language) for above in self._ancestors[position]] + ([facet] if facet else [])

        def text(position: int) -> str:
            return PATH_SEPARATOR.join(reversed(steps(position)[: depth[position]]))

        written = [text(position) for position in range(len(self.tags))]
        while True:
            sharing: dict[str, list[int]] = defaultdict(list)
            for position, label in enumerate(written):
                sharing[label].append(position)
            clashes = [group for group in sharing.values() if len(group) > 1]
            if not clashes:
                return tuple(written)
            for group in clashes:
                longer = [position for position in group if depth[position] < len(steps(position))]
                if not longer:
                    raise InvalidVocabulary(
                        f"{self._both(group[0], group[1])} have the same label {written[group[0]]!r} and no parent or facet"
                        " that tells them apart; rename one, remove one, or give them different parents"
                    )
                for position in longer:
                    depth[position] += 1
                    written[position] = text(position)

"""`Feedback`: what a merchant made of a suggestion, as one JSON object a line. It knows rows and tags by name, no model.

    {"id": "s-81", "product_id": "S42", "title": "Linen camp shirt", "at": "2026-11-20T10:00:00Z",
     "suggested": ["Shirts", "Wool"], "accepted": ["Shirts"], "rejected": ["Wool"], "added": ["Linen"]}

The fields of the listing are those of `eval.rows`, without `tags`; `id` names the feedback, `product_id` the listing. Tags are
ids or labels, in all four lists alike. A suggested tag that is neither accepted nor rejected was not looked at, and teaches
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.rows import Row, Skipped, object_of, row_of
from hangtag.errors import InvalidData, InvalidInput
from hangtag.jsonl import read_objects

TAGS = ("suggested", "accepted", "rejected", "added")


@dataclass(frozen=True, slots=True)
class Feedback:
    """`row` is the listing; its tags are those it should have, or where none is right those that were suggested (`feedback_on`
    sees to it). `suggested` has the order of the suggestion. Raises `InvalidData` for a tag that is accepted or rejected and was
    not suggested, for one that is both, and for feedback that says nothing."""

    row: Row
    suggested: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in TAGS:
            given = getattr(self, name)
            if len(set(given)) != len(given):
                raise InvalidData(f"`{name}` has a tag twice", field=name)
        for name in ("accepted", "rejected"):
            if strange := [tag for tag in getattr(self, name) if tag not in self.suggested]:
                raise InvalidData(f"{strange[0]!r} is {name}, but was not suggested", field=name)
        if both := set(self.accepted) & set(self.rejected):
            raise InvalidData(f"{min(both)!r} is accepted and rejected", field="rejected")
        if known := set(self.added) & set(self.suggested):
            raise InvalidData(f"{min(known)!r} is added, but was suggested; say that it is accepted", field="added")
        if not self.right and not self.rejected:
            raise InvalidData("no tag is accepted, rejected or added: this says nothing", field="accepted")

    @property
    def right(self) -> tuple[str, ...]:
        """The tags that the listing should have: those accepted in the order of the suggestion, then those added."""
        return (*(tag for tag in self.suggested if tag in self.accepted), *self.added)


def feedback_on(row: Row, **tags: tuple[str, ...]) -> Feedback:
    """Feedback on a listing; `tags` are the four lists of `Feedback`, the row's own tags do not count. Raises `InvalidData`."""
    given = Feedback(row, **tags)
    return replace(given, row=replace(row, tags=given.right or given.suggested))


def read_feedback(path: Path, *, skip_bad: bool = False) -> tuple[list[tuple[int, Feedback]], list[Skipped]]:
    """The feedback of a JSONL file (`.gz` too) with its lines. Raises `InvalidData` naming file and line of what is none, or with
    `skip_bad` leaves it out and says so."""
    found: list[tuple[int, Feedback]] = []
    skipped: list[Skipped] = []
    for line, given in read_objects(path, InvalidData):
        try:
            found.append((line, _feedback(given)))
        except (InvalidInput, ValueError) as error:
            if not skip_bad:
                raise InvalidData(f"{path}: line {line}: {error}", field=getattr(error, "field", None)) from error
            skipped.append(Skipped(str(path), line, str(error)))
    return found, skipped


def write_feedback(feedback: Iterable[Feedback], path: Path) -> None:
    """As JSONL, read back by `read_feedback` to equal feedback."""
    lines = []
    for each in feedback:
        listing = object_of(each.row)
        del listing["tags"]
        lines.append(json.dumps(listing | {name: list(getattr(each, name)) for name in TAGS}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def _feedback(given: dict[str, Any]) -> Feedback:
    if "tags" in given:
        raise InvalidData(f"feedback has no `tags`, but {', '.join(TAGS)}", field="tags")
    tags: dict[str, tuple[str, ...]] = {}
    for name in TAGS:
        value = given.get(name) or []
        if not isinstance(value, list) or not all(isinstance(tag, str) and tag.strip() for tag in value):
            raise InvalidData(f"`{name}` is not a list of strings", field=name)
        tags[name] = tuple(value)
    listing = {name: value for name, value in given.items() if name not in TAGS}
    named = list(dict.fromkeys((*tags["suggested"], *tags["added"])))
    if not named:
        raise InvalidData("no tag is suggested or added: this says nothing", field="suggested")
    return feedback_on(row_of(listing | {"tags": named}), **tags)

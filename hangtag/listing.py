"""`Listing`: what is to be tagged, checked on entry. It knows no tags, no users and no prompt."""

from __future__ import annotations

from dataclasses import dataclass

from hangtag.errors import InvalidListing, ListingTooLong, UnknownLanguage
from hangtag.text import detect_language, first_control

MAX_CHARACTERS = 20_000
"""More than any model here can use, and a bound on the work that a stranger can cause."""

MAX_LANGUAGE = 100

Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A product listing, a post or an article. `language` is a BCP 47 tag; None means: find out (`resolved_language`).

    Raises `InvalidListing` for text that is empty or has control characters, `ListingTooLong` past MAX_CHARACTERS in all,
    `UnknownLanguage` for a language that is empty or longer than any.
    """

    title: str = ""
    description: str = ""
    attributes: Attributes = ()
    language: str | None = None
    id: str = ""

    def __post_init__(self) -> None:
        fields = [("title", self.title), ("description", self.description), ("id", self.id)]
        for position, (name, value) in enumerate(self.attributes):
            if not name.strip():
                raise InvalidListing(f"attribute {position + 1} has no name", field=f"attributes[{position}]")
            fields += [(f"attributes[{position}]", name), (f"attributes.{name}", value)]
        characters = sum(len(value) for _, value in fields)
        if characters > MAX_CHARACTERS:
            raise ListingTooLong(
                f"the listing has {characters:,} characters, at most {MAX_CHARACTERS:,} are allowed; send less text",
                field=max(fields, key=lambda item: len(item[1]))[0],
            )
        for name, value in fields:
            if (offset := first_control(value)) is not None:
                raise InvalidListing(
                    f"{name} has the control character U+{ord(value[offset]):04X} at offset {offset}; remove it", field=name
                )
        if self.language is not None and not self.language.strip():
            raise UnknownLanguage("the language is empty; leave it out to have it found", field="language")
        if self.language is not None and len(self.language) > MAX_LANGUAGE:
            raise UnknownLanguage(f"the language has over {MAX_LANGUAGE} characters; give a BCP 47 tag", field="language")
        if not self.lines():
            raise InvalidListing("the listing is empty; give a title, a description or attributes", field="title")

    def quotable(self) -> list[str]:
        """The pieces of the listing exactly as they were written, one line each: the only text an explanation may quote.
        An attribute gives its value alone, since nobody wrote "name: value"."""
        texts = [self.title, self.description, *(value for _, value in self.attributes)]
        return _clean_lines(texts)

    def lines(self) -> list[str]:
        """Title, description and attributes ("name: value") as lines without empty ones: the text that a model sees."""
        pairs = [f"{name.strip()}: {value.strip()}" for name, value in self.attributes if value.strip()]
        return _clean_lines([self.title, self.description, *pairs])

    def text(self) -> str:
        """`lines()` joined by line feeds."""
        return "\n".join(self.lines())

    def resolved_language(self) -> str:
        """The language said, or else the one that the text looks like: "zh" or "en"."""
        return self.language or detect_language(self.text())


def _clean_lines(texts: list[str]) -> list[str]:
    lines = [line.strip() for text in texts for piece in text.splitlines() for line in piece.split("\t")]
    return [line for line in lines if line]

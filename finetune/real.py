"""Rows of public data sets as training rows for a vocabulary that is not theirs: tags that it has by label or alias, and a reason
that quotes where the listing says so. It knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eval.rows import Row
from finetune.rows import TrainingRow
from finetune.synthesize import explained
from hangtag.evidence import stated_span
from hangtag.listing import Listing
from hangtag.text import attribute_value
from hangtag.vocabulary import TagVocabulary

MOST_TAGS, MOST_QUOTES = 5, 3
FRAMES = {"en": ("It says {quotes}.", "The listing mentions {quotes}."), "zh": ("写到{quotes}。", "文中提到{quotes}。")}
WITHOUT_QUOTES = {"en": "It fits the listing as a whole.", "zh": "根据整体内容判断。"}


def training_rows(rows: Iterable[Row], vocabulary: TagVocabulary) -> Iterator[TrainingRow]:
    """The rows that have at least one tag in `vocabulary`; tags that mean several of its tags are left out, and so are those
    past MOST_TAGS: first those that the listing says, in the order in which it says them."""
    for row in rows:
        language = row.listing.resolved_language()
        if language not in FRAMES:
            continue
        meant = (vocabulary.find(attribute_value(label)) for label in row.tags)
        tags = list(dict.fromkeys(found[0] for found in meant if len(found) == 1))
        if not tags:
            continue
        spans = {tag: span for tag in tags if (span := stated_span(row.listing, vocabulary.tags[tag].wordings(language)))}
        text = "\n".join(row.listing.quotable())
        tags = sorted(tags, key=lambda tag: text.find(spans[tag]) if tag in spans else len(text))[:MOST_TAGS]
        quotes = [spans[tag] for tag in tags if tag in spans][:MOST_QUOTES]
        listing = Listing(row.listing.title, row.listing.description, row.listing.attributes, language)
        yield TrainingRow(listing, (), tuple(vocabulary.tags[tag].id for tag in tags), explanation(quotes, language, len(text)))


def explanation(quotes: list[str], language: str, choice: int) -> str:
    """A reason that quotes `quotes`; `choice` picks among the frames."""
    return explained(FRAMES[language][choice % 2], quotes, language) if quotes else WITHOUT_QUOTES[language]

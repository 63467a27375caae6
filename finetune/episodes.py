"""Rows that teach to copy a label out of the prompt, and then to pick among candidates that stand there; and their ids. It knows
listings, vocabularies and the prompt, no model; nothing is kept: rows are drawn one by one, without end.

copying: the answer is the labels that the prompt shows. picking: it is those candidates whose words stand in the listing. Shop:
it is the tags of the listing, by whichever wording the prompt happens to show them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from eval.datasets import Converted
from eval.labels import vocabulary_of
from finetune.real import MOST_TAGS
from finetune.synthesize import LANGUAGES, Synthesizer
from hangtag.answer import Answer, AnswerCodec
from hangtag.explanation import ExplanationGrammar
from hangtag.listing import Listing
from hangtag.text import attribute_value, detect_language, first_control, normalise
from prompts.render import PromptTemplate, PromptValues
from serve.candidates import Candidates
from serve.tokenizer import HuggingFaceTokenizer

_T = TypeVar("_T")

TEMPLATE = """\
{% block user %}{{ language }}
{{ lines | join("\\n") }}

{{ candidates | sort | join("\\n") }}

{{ interests | join("\\n") }}{% endblock %}
"""
"""The bundled model's prompt with candidates where its training had interests. Sorted: their order would tell their rank."""

REAL_SHARE, FOREIGN_SHARE = 0.4, 0.2

COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Of candidates, each drawn as often as it is small: rows of few are short, and picking begins with them."""

ON_LINES = 0.5
"""Share of rows to pick from with each label on a line of its own."""

LABELS = {"en": (1, 4), "zh": (2, 6)}
FILLERS = {"en": (1, 12), "zh": (1, 20)}
"""Words, or Chinese characters, of a span taken from a text."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A prompt to come, and its answer: labels among the candidates."""

    language: str
    lines: tuple[str, ...]
    candidates: tuple[str, ...]
    answer: tuple[str, ...]


class Spans:
    """Labels that mean nothing: random tokens, and spans of real texts (a language's own)."""

    def __init__(self, tokenizer: HuggingFaceTokenizer, texts: Sequence[str]) -> None:
        self.texts: dict[str, list[str]] = {"en": [], "zh": []}
        for line in (line for text in texts for line in text.splitlines() if line.strip()):
            self.texts[detect_language(line)].append(line)
        self._pieces = [text for token in range(tokenizer.size) if _is_label(text := tokenizer.decode([token]).strip())]
        self._decode = tokenizer.decode

    def span(self, language: str, sizes: tuple[int, int], rng: random.Random) -> str:
        """Some words, or characters, that follow one another in a text."""
        while True:
            line = rng.choice(self.texts[language])
            units = line.split() if language == "en" else list(line)
            size = rng.randint(*sizes)
            start = rng.randrange(max(1, len(units) - size + 1))
            if _is_label(text := normalise((" " if language == "en" else "").join(units[start : start + size]))):
                return text

    def label(self, language: str, rng: random.Random, *, pieces: float = 0.5) -> str:
        """A label of one to six random pieces in a share `pieces` of the cases, else a span."""
        if rng.random() >= pieces:
            return self.span(language, LABELS[language], rng)
        while True:
            chosen = rng.choices(self._pieces, k=rng.randint(1, 6))
            if _is_label(text := normalise(rng.choice(("", " ")).join(chosen))):
                return text

    def labels(self, count: int, language: str, rng: random.Random, **options: float) -> list[str]:
        """Different ones."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.label(language, rng, **options)] = None
        return list(found)


def _is_label(text: str) -> bool:
    return 0 < len(text) <= 60 and first_control(text) is None and "\ufffd" not in text and normalise(text) == text


def copying(spans: Spans, rng: random.Random, most: int = 16) -> Episode:
    """All of up to `most` labels, in the order shown: many copies in a row are what heads that copy are made by."""
    language = rng.choice(("en", "zh"))
    labels = tuple(spans.labels(rng.randint(1, most), language, rng))
    return Episode(language, (), labels, labels)


def picking(
    spans: Spans,
    rng: random.Random,
    count: int = 0,
    stated: int = 0,
    *,
    language: str | None = None,
    on_lines: bool | None = None,
) -> Episode:
    """`stated` (0: 1 to 8) of `count` (0: 1 to 32, mostly few) candidates stand in the listing, between spans of other text;
    the answer has them in the order of the candidates, which is random. `on_lines`: each on a line of its own, so that its tokens
    are those of the candidate, which within a text they often are not. None: as it comes."""
    language = language or rng.choice(("en", "zh"))
    on_lines = rng.random() < ON_LINES if on_lines is None else on_lines
    count = count or rng.choices(COUNTS, [1 / some for some in COUNTS])[0]
    stated = stated or rng.randint(1, min(count, 8))
    gap = "\n" if on_lines else " " if language == "en" else ""
    while True:
        candidates = spans.labels(count, language, rng)
        answer = rng.sample(candidates, stated)
        text = gap.join(text for label in answer for text in (spans.span(language, FILLERS[language], rng), label))
        text += gap + spans.span(language, FILLERS[language], rng)
        if not any(label in text for label in set(candidates) - set(answer)):
            return Episode(language, tuple(text.split("\n")), tuple(candidates), tuple(sorted(answer, key=candidates.index)))


class Shop:
    """Listings with their tags among candidates: synthetic ones over the starter vocabulary, whose tags are shown by any of their
    wordings, and rows of public sets by the labels that they have."""

    def __init__(self, synthesizer: Synthesizer, sets: Sequence[Converted]) -> None:
        self._synthesizer, self._vocabulary = synthesizer, synthesizer.vocabulary
        self._own = Candidates(self._vocabulary)
        self._rows = [(row, place) for place, found in enumerate(sets) for row in found.rows]
        self._sets = [(found.vocabulary, Candidates(found.vocabulary)) for found in sets]

    def example(self, rng: random.Random) -> Episode:
        """A row of either kind."""
        return self._real(rng) if self._rows and rng.random() < REAL_SHARE else self._synthetic(rng)

    def _synthetic(self, rng: random.Random) -> Episode:
        language = rng.choice(LANGUAGES)
        example = self._synthesizer.example(rng.randrange(10**9), language)
        tags = [self._vocabulary.index(tag) for tag in example.tags]
        related = {self._vocabulary.tags[tag].parent for tag in tags} | set(example.tags)
        close = [found.tag for found in self._own.find(example.listing)]
        others = [
            tag
            for tag in (*rng.sample(close, len(close)), *_some(range(len(self._vocabulary)), rng))
            if self._vocabulary.tags[tag].id not in related and self._vocabulary.tags[tag].parent not in related
        ]
        return self._episode(
            example.listing,
            language,
            [self._shown(tag, language, rng) for tag in tags],
            rng,
            [self._shown(tag, language, rng) for tag in others],
        )

    def _shown(self, tag: int, language: str, rng: random.Random) -> str:
        """A wording of the tag, at times in the other language."""
        other = "zh" if language == "en" else "en"
        return rng.choice(self._vocabulary.tags[tag].wordings(other if rng.random() < FOREIGN_SHARE else language))

    def _real(self, rng: random.Random) -> Episode:
        row, place = rng.choice(self._rows)
        vocabulary, candidates = self._sets[place]
        close = [vocabulary.tags[found.tag].id for found in candidates.find(row.listing)]
        others = [*rng.sample(close, len(close)), *(tag.id for tag in _some(vocabulary.tags, rng))]
        tags = list(row.tags)
        if all(attribute_value(label) != label for label in tags) and rng.random() < 0.8:  # "Flavor: Mint", which no listing says
            tags, others = (list(map(attribute_value, labels)) for labels in (tags, others))
        return self._episode(row.listing, row.listing.resolved_language(), tags, rng, others)

    @staticmethod
    def _episode(listing: Listing, language: str, tags: list[str], rng: random.Random, others: Iterable[str]) -> Episode:
        answer = list(dict.fromkeys(tags))[:MOST_TAGS]
        count = max(rng.choice((4, 8, 12, 16, 24, 32)), 2 * len(answer))
        free = [label for label in dict.fromkeys(others) if label not in set(tags)]
        half = free[: max(0, count - len(answer))]
        candidates = rng.sample([*answer, *half], len(answer) + len(half))
        return Episode(language, tuple(listing.lines()), tuple(candidates), tuple(answer))


def _some(population: Sequence[_T], rng: random.Random) -> list[_T]:
    return rng.sample(population, min(32, len(population)))


class Encoder:
    """Episodes as ids of prompt and answer, by the template and the writer of answers that serving uses."""

    def __init__(self, tokenizer: HuggingFaceTokenizer) -> None:
        self.tokenizer = tokenizer
        self._template = PromptTemplate(TEMPLATE.replace(" | sort", ""))
        self._grammar = ExplanationGrammar(tokenizer)

    def codec(self, labels: Sequence[str], language: str) -> AnswerCodec:
        """The writer and reader of answers over some labels."""
        return AnswerCodec(self.tokenizer, vocabulary_of(labels, "labels"), language, self._grammar)

    def prompt(self, episode: Episode) -> list[int]:
        """Ids up to where the answer starts."""
        values = PromptValues(language=episode.language, lines=episode.lines, candidates=episode.candidates)
        return self.tokenizer.conversation(self._template.render(values))

    def answer(self, episode: Episode) -> list[int]:
        """Ids of the answer, without a reason."""
        codec = self.codec(episode.answer, episode.language)
        return codec.write(Answer(tuple(codec.vocabulary.index(label) for label in episode.answer)))

"""Bilingual training listings written from a vocabulary: templates, carried wordings, noise, interests and a gold answer.
It knows no prompt, no tokens and no model, and it refuses to know any listing that somebody really wrote."""

from __future__ import annotations

import csv
import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from finetune.patterns import FACETS, Matcher, Split, Wording, kind_of
from finetune.writing import Draft, Writer, unmarked
from hangtag.errors import InvalidVocabulary
from hangtag.listing import Listing
from hangtag.text import fold
from hangtag.vocabulary import Tag, TagVocabulary

LANGUAGES = ("en", "zh")
DOMAINS = frozenset({
    "fashion", "shoes", "bags", "jewellery", "beauty", "health", "baby", "toys", "electronics", "computing", "appliances",
    "home", "furniture", "kitchen", "food", "sports", "outdoors", "pets", "auto", "tools", "office", "garden", "music", "books",
    "art", "travel", "content",
})  # fmt: skip
MAX_TAGS = 5
MAX_QUOTES = 3
ATTEMPTS = 8
_RANK = {facet: rank for rank, facet in enumerate(FACETS)}
_WEIGHTS = {"feature": 5.0, "colour": 3.0, "material": 3.0, "audience": 2.5, "style": 2.0, "fit": 3.0, "pattern": 1.5}
_WEIGHTS |= {"occasion": 1.6, "season": 1.2}
_COLOURLESS = {"food", "health", "books", "music", "beauty", "pets", "garden"}
_POST_FACETS = ("audience", "occasion", "season", "style", "category", "category")
_FILLER_GROUPS = {
    **dict.fromkeys(("fashion", "shoes"), "fashion"),
    **dict.fromkeys(("bags", "jewellery"), "accessories"),
    **dict.fromkeys(("electronics", "computing", "appliances", "auto", "tools"), "electronics"),
    **dict.fromkeys(("home", "furniture", "kitchen", "garden", "office"), "home"),
    **dict.fromkeys(("baby", "toys"), "kids"),
    **dict.fromkeys(("sports", "outdoors", "travel"), "active"),
    **dict.fromkeys(("books", "music", "art"), "culture"),
    **{name: name for name in ("food", "beauty", "pets")},
    "health": "beauty",
}
_FORBIDDEN = re.compile(r"[\"“”„<\n\t]|://|www\.|\]\(")


@dataclass(frozen=True, slots=True)
class Example:
    """A listing with its gold answer. `interests` are tag ids, best first, () for no summary of the user."""

    listing: Listing
    interests: tuple[str, ...]
    tags: tuple[str, ...]
    evidence: tuple[tuple[str, str], ...]
    explanation: str


def read_domains(path: Path) -> dict[str, tuple[str, ...]]:
    """The domains of each tag from a CSV file with the columns `id` and `domains` (separated by spaces)."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if missing := {"id", "domains"} - set(rows.fieldnames or ()):
                raise InvalidVocabulary(f"{path}: line 1: the column {min(missing)!r} is missing")
            found: dict[str, tuple[str, ...]] = {}
            for row in rows:
                place = f"{path}: line {rows.line_num}"
                if None in row or None in row.values():
                    raise InvalidVocabulary(f"{place}: the number of columns is not that of the header")
                domains = tuple(row["domains"].split())
                if not row["id"].strip() or row["id"].strip() in found:
                    raise InvalidVocabulary(f"{place}: the id {row['id']!r} is empty or stands twice")
                if unknown := set(domains) - DOMAINS:
                    raise InvalidVocabulary(f"{place}: unknown domain {min(unknown)!r}; use {', '.join(sorted(DOMAINS))}")
                found[row["id"].strip()] = domains
            return found
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidVocabulary(f"{path}: can't be read: {error}") from error


def held_out(tag: Tag, language: str) -> frozenset[str]:
    """The aliases that only the test split uses: about a fifth, at least one where there are three wordings."""
    label = fold(tag.label(language))
    aliases = sorted({alias for alias in tag.wordings(language)[1:] if fold(alias) != label})
    if len(aliases) < 2:
        return frozenset()
    digests = {alias: int(hashlib.sha256(f"{tag.id}\n{alias}".encode()).hexdigest()[:12], 16) for alias in aliases}
    return frozenset(a for a in aliases if digests[a] % 5 == 0) or frozenset({min(aliases, key=digests.__getitem__)})


@dataclass(frozen=True, slots=True)
class _Pools:
    """What can be chosen in one language and split: wordings by tag, tags by domain and facet."""

    wordings: dict[int, list[Wording]]
    post_wordings: dict[int, list[Wording]]
    categories: list[int]
    cumulative: list[float]
    topics: list[int]
    by_domain: dict[str, dict[str, list[int]]]
    weights: dict[str, tuple[list[str], list[float]]]


class Synthesizer:
    """Writes the examples of one split. Tags without domains fit every product; `domains` may leave tags out."""

    def __init__(self, vocabulary: TagVocabulary, domains: Mapping[str, tuple[str, ...]], *, split: Split, seed: int = 0) -> None:
        self.vocabulary, self.split, self._seed = vocabulary, split, seed
        self._tags = vocabulary.tags
        self._domains = [tuple(domains.get(tag.id, ())) for tag in vocabulary]
        self._facets: dict[str, list[int]] = defaultdict(list)
        for position, tag in enumerate(vocabulary):
            self._facets[tag.facet].append(position)
        self._parents = {tag.parent for tag in vocabulary if tag.parent is not None}
        self._matchers = {language: Matcher(vocabulary, language) for language in LANGUAGES}
        self._writers = {language: Writer(language, split, self._matchers[language]) for language in LANGUAGES}
        self._pools = {language: self._pool(language) for language in LANGUAGES}

    @property
    def dropped(self) -> dict[str, list[str]]:
        """By language, the templates and fillers left out since their own words are wordings of the vocabulary."""
        return {language: writer.book.dropped for language, writer in self._writers.items()}

    def example(self, index: int, language: str | None = None) -> Example:
        """The example with this number; the same for the same seed, split, number and language."""
        rng = random.Random(f"{self._seed}|{self.split}|{index}|{language}")
        chosen = language or rng.choice(LANGUAGES)
        pools = self._pools[chosen]
        for attempt in range(ATTEMPTS * 5 if pools.topics or pools.categories else 0):
            post = not pools.categories or (bool(pools.topics) and rng.random() < 0.25)
            fields = self._post(chosen, rng) if post else self._product(chosen, rng)
            plain = [(name, *unmarked(text)) for name, text in fields]
            found: dict[int, str] = {}
            for _, text, spans in plain:
                for start, end, tag in spans:
                    found.setdefault(tag, text[start:end])
            if found and (attempt >= ATTEMPTS or not self._accidents(chosen, plain, set(found), post)):
                return self._answered(chosen, {name: text for name, text, _ in plain}, found, rng)
        raise InvalidVocabulary(f"the vocabulary {self.vocabulary.name!r} has no tags to write {chosen!r} listings from")

    def _accidents(
        self, language: str, plain: list[tuple[str, str, list[tuple[int, int, int]]]], chosen: set[int], post: bool
    ) -> bool:
        """Whether a wording of a tag that was not chosen stands outside the chosen spans."""
        matcher = self._matchers[language]
        for _, text, spans in plain:
            for start, end, key in matcher.find(text):
                owners = matcher.owners[key]
                if owners & chosen or any(start >= first and end <= last for first, last, _ in spans):
                    continue
                if post or any(self._tags[owner].facet != "topic" for owner in owners):
                    return True
        return False

    def _pool(self, language: str) -> _Pools:
        names = {w for tag in self._tags for a in tag.aliases.get("en", ()) for w in a.split() if w[:1].isupper()}
        wordings: dict[int, list[Wording]] = {}
        post_wordings: dict[int, list[Wording]] = {}
        matcher = self._matchers[language]
        for position, tag in enumerate(self._tags):
            kept = held_out(tag, language)
            texts = kept if self.split == "test" else [w for w in tag.wordings(language) if w not in kept]
            products, posts = [], []
            for text in sorted(set(texts)):
                owners = matcher.owners.get(matcher.key(text), set())
                if _FORBIDDEN.search(text) or not owners:
                    continue
                shown = _lowered(text, names) if language == "en" and text == tag.label("en") else text
                wording = Wording(position, tag.facet, shown, kind_of(shown, tag.facet, language))
                if tag.facet != "topic" and all(o == position or self._tags[o].facet == "topic" for o in owners):
                    products.append(wording)
                shared = [o for o in owners if o != position and (tag.facet != "topic" or self._tags[o].facet == "topic")]
                if not shared and wording.kind in ("", "pre"):
                    posts.append(wording)
            if products:
                wordings[position] = products
            if posts:
                post_wordings[position] = posts
        return self._grouped(wordings, post_wordings)

    def _grouped(self, wordings: dict[int, list[Wording]], post_wordings: dict[int, list[Wording]]) -> _Pools:
        by_domain: dict[str, dict[str, list[int]]] = {domain: defaultdict(list) for domain in DOMAINS}
        for position in sorted(wordings.keys() | post_wordings.keys()):
            for domain in self._domains[position] or DOMAINS:
                if position in (post_wordings if domain == "content" else wordings):
                    facet = self._tags[position].facet  # tags made for the domain are likelier than those that fit any
                    by_domain[domain][facet] += [position] * (3 if self._domains[position] and facet != "colour" else 1)
        weights = {}
        for domain, facets in by_domain.items():
            table = {f: w * (0.25 if domain in _COLOURLESS and f in ("colour", "material") else 1) for f, w in _WEIGHTS.items()}
            present = [facet for facet in table if facets.get(facet)]
            weights[domain] = (present, list(accumulate(table[facet] for facet in present)))
        categories = [p for p in wordings if self._tags[p].facet == "category"]
        shares = accumulate(0.12 if self._tags[p].id in self._parents else 1.0 for p in categories)
        topics = [p for p in post_wordings if self._tags[p].facet == "topic"]
        return _Pools(wordings, post_wordings, categories, list(shares), topics, by_domain, weights)

    def _chosen_tags(self, pools: _Pools, category: int, domain: str, rng: random.Random) -> list[int]:
        """Up to five tags that fit a product of `domain`, at most two of a facet; rarely a second category."""
        tags: list[int] = []
        names, cumulative = pools.weights[domain]
        count = rng.choices((0, 1, 2, 3, 4, 5), cum_weights=(7, 23, 48, 72, 89, 100))[0]
        for _ in range(count if names else 0):
            facet = rng.choices(names, cum_weights=cumulative)[0]
            same = [tag for tag in tags if self._tags[tag].facet == facet]
            tag = rng.choice(pools.by_domain[domain][facet])
            related = any(self._tags[tag].parent == self._tags[o].id or self._tags[o].parent == self._tags[tag].id for o in same)
            if tag in tags or related or len(same) > 1 or (same and facet != "feature" and rng.random() < 0.75):
                continue
            tags.append(tag)
        if rng.random() < 0.04 and (more := [c for c in pools.by_domain[domain]["category"] if c != category]):
            siblings = [c for c in more if self._tags[c].parent == self._tags[category].parent is not None]
            tags += [rng.choice(siblings)] if siblings else []
        return tags

    def _product(self, language: str, rng: random.Random) -> list[tuple[str, str]]:
        pools, writer = self._pools[language], self._writers[language]
        category = rng.choices(pools.categories, cum_weights=pools.cumulative)[0]
        domain = rng.choice(self._domains[category] or ("home",))
        main = rng.choice(pools.wordings[category])
        open_ = [rng.choice(pools.wordings[tag]) for tag in self._chosen_tags(pools, category, domain, rng)]
        fixed = {"brand": writer.noise("brand", rng), "model": writer.noise("model", rng)}
        draft = Draft(rng, [], _FILLER_GROUPS.get(domain, ""), fixed)
        roll, result = rng.random(), []
        pairs = self._attributes(open_, main, draft, writer) if roll >= 0.85 else []
        if roll < 0.4 or roll >= 0.5:
            share = open_ if roll < 0.4 or roll >= 0.93 else [wording for wording in open_ if rng.random() < 0.45]
            draft.open = [main, *share]
            plain = 0.5 <= roll < 0.93 and rng.random() < 0.15
            pool = writer.book.sections["names" if plain else "titles"]
            result.append(("title", writer.polished(writer.fill(rng.choice(pool), draft), title=True, rng=rng)))
            open_ = [*draft.open, *(wording for wording in open_ if wording not in share)]
        else:
            open_ = [main, *open_]
        if 0.4 <= roll < 0.93:
            draft.open = open_
            result.append(("description", writer.description(draft, main, pools.wordings[category])))
        return result + pairs

    def _attributes(self, open_: list[Wording], main: Wording, draft: Draft, writer: Writer) -> list[tuple[str, str]]:
        """Moves some of the wordings into attributes."""
        rng, pairs = draft.rng, []
        movable = [wording for wording in open_ if not wording.kind]
        for wording in rng.sample(movable, min(len(movable), rng.randint(1, 4))):
            open_.remove(wording)
            text = writer.mark(wording, rng)
            name = rng.choice(writer.book.attribute_names[wording.facet])
            pairs.append((name, text[:2] + text[2].upper() + text[3:] if rng.random() < 0.6 else text))
        if rng.random() < 0.25:
            pairs.append((rng.choice(writer.book.attribute_names["category"]), writer.mark(main, rng)))
        for name, pattern in rng.sample(writer.book.attribute_noise, rng.choice((0, 1, 1, 2, 3))):
            pairs.append((name, writer.noise_text(pattern, draft)))
        rng.shuffle(pairs)
        merged: dict[str, str] = {}
        for name, value in pairs:
            merged[name] = f"{merged[name]}, {value}" if name in merged else value
        return list(merged.items())

    def _post(self, language: str, rng: random.Random) -> list[tuple[str, str]]:
        pools, writer = self._pools[language], self._writers[language]
        first = rng.randrange(len(pools.topics))
        topics = [pools.topics[first]]
        for _ in range(rng.choices((0, 1, 2, 3), weights=(38, 35, 18, 9))[0]):
            near = first + rng.randint(-6, 6) if rng.random() < 0.6 else rng.randrange(len(pools.topics))
            if (topic := pools.topics[near % len(pools.topics)]) not in topics:
                topics.append(topic)
        extra: list[int] = []
        for _ in range(rng.choices((0, 1, 2), weights=(58, 30, 12))[0]):
            facet = rng.choice(_POST_FACETS)
            pool = pools.by_domain["content"].get(facet) if facet != "category" else pools.categories
            tag = rng.choice(pool) if pool else topics[0]
            if tag in pools.post_wordings and tag not in topics + extra:
                extra.append(tag)
        open_ = [rng.choice(pools.post_wordings[tag]) for tag in [*topics, *extra]]
        draft = Draft(rng, [], "post", {"brand": writer.noise("brand", rng)})
        roll, result = rng.random(), []
        if roll < 0.75:
            share = open_ if roll < 0.3 else [open_[0], *(wording for wording in open_[1:] if rng.random() < 0.3)]
            draft.open = list(share)
            counts = sum(wording.facet == "topic" for wording in share)
            pool_ = [t for t in writer.book.sections["post_titles"] if t.needs.count("topic") <= counts]
            result.append(("title", writer.polished(writer.fill(rng.choice(pool_), draft), title=True, rng=rng)))
            open_ = [*draft.open, *(wording for wording in open_ if wording not in share)]
        if roll >= 0.3:
            draft.open = open_
            result.append(("description", writer.post_body(draft)))
        return result

    def _answered(self, language: str, fields: dict[str, str], found: dict[int, str], rng: random.Random) -> Example:
        attributes = tuple((name, text) for name, text in fields.items() if name not in ("title", "description"))
        title, description = fields.get("title", ""), fields.get("description", "")
        listing = Listing(title=title, description=description, attributes=attributes, language=language)
        interests = self._interests(list(found), rng) if rng.random() < 1 / 3 else []
        order = list(found)

        def importance(tag: int) -> tuple[int, int, int]:
            asked = interests.index(tag) if tag in interests else len(interests)
            return asked, _RANK.get(self._tags[tag].facet, len(_RANK)) if asked == len(interests) else 0, order.index(tag)

        tags = sorted(found, key=importance)[:MAX_TAGS]
        spans = [found[tag] for tag in tags]
        return Example(
            listing=listing,
            interests=tuple(self._tags[tag].id for tag in interests),
            tags=tuple(self._tags[tag].id for tag in tags),
            evidence=tuple((self._tags[tag].id, span) for tag, span in zip(tags, spans, strict=True)),
            explanation=explained(rng.choice(self._writers[language].book.explanations), spans[:MAX_QUOTES], language),
        )

    def _interests(self, carried: list[int], rng: random.Random) -> list[int]:
        """Two to five tags: of the listing and near it, or against it, or far from it."""
        count, roll = rng.randint(2, 5), rng.random()
        near = self._facets[self._tags[carried[0]].facet]
        wanted: list[int] = []
        if roll < 0.55:
            wanted = rng.sample(carried, min(len(carried), rng.randint(1, 3)))
            start = near.index(carried[0])
            wanted += [near[(start + rng.randint(-9, 9)) % len(near)] for _ in range(count - len(wanted))]
        elif roll < 0.8:
            against = [rng.choice(self._facets[self._tags[tag].facet]) for tag in rng.sample(carried, min(len(carried), 3))]
            wanted = against + (rng.sample(carried, 1) if rng.random() < 0.4 else [])
        everything = range(len(self._tags))
        wanted += [rng.choice(everything) for _ in range(max(2, count - len(wanted)) if len(wanted) < 2 else count - len(wanted))]
        if roll >= 0.8:
            wanted = [tag for tag in wanted if tag not in carried]
        kept = list(dict.fromkeys(wanted))[:5]
        rng.shuffle(kept)
        return kept


def explained(frame: str, spans: list[str], language: str) -> str:
    """`frame` with the spans quoted and put together in place of {quotes}; in Chinese, {joined} has an "and" as well."""
    quotes = [f"“{span}”" for span in spans]
    if language == "zh":
        joined = "".join(quotes[:-1]) + ("和" if len(quotes) > 1 else "") + quotes[-1]
        return frame.format(quotes="".join(quotes), joined=joined)
    return frame.format(quotes=", ".join(quotes[:-1]) + (" and " if len(quotes) > 1 else "") + quotes[-1])


def _lowered(label: str, names: set[str]) -> str:
    """The label as it stands inside a sentence: names and acronyms keep their capitals."""
    first = label.split()[0]
    keep = first in names or any(letter.isupper() for letter in label[1:])
    return label if keep else label[0].lower() + label[1:]

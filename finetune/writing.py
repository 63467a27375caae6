"""Filling templates: wordings of tags and noise become marked text.
It knows no interests and no answers, and it refuses to decide which tags a listing has."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from finetune.patterns import FACETS, Book, Matcher, Slot, Split, Template, Wording, parse, slots_of

_OPEN, _CLOSE, _ARTICLE, _FIRST = "\ue000", "\ue001", "\ue002", 0x100000
_MARKED = re.compile(f"{_OPEN}(.)([^{_OPEN}{_CLOSE}]*){_CLOSE}", re.DOTALL)
_TITLE_WORD = re.compile(r"(?<![\w'’])[a-z][a-z']*")
_SMALL = {
    *("a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"),
    *("x", "cm", "ml", "kg", "g", "ft", "oz"),
}
_EDGES = " ,，、|丨｜/／;；:：*+·-"
_AGREEMENT = {"this": ("this", "these"), "is": ("is", "are"), "it": ("it", "they"), "them": ("it", "them"), "s": ("s", "")}
_AGREEMENT |= {"a": (_ARTICLE, ""), "an": (_ARTICLE, _ARTICLE)}


@dataclass(slots=True)
class Draft:
    """Where a listing stands while it is written: the wordings that still need a place."""

    rng: random.Random
    open: list[Wording]
    group: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def take(self, facet: str) -> Wording | None:
        for position, wording in enumerate(self.open):
            if wording.facet == facet and wording.kind in ("", "pre"):
                return self.open.pop(position)
        return None


class Writer:
    """Writes text in one language: fills templates with wordings and noise, and marks where each wording stands."""

    def __init__(self, language: str, split: Split, matcher: Matcher) -> None:
        self.book, self.english, self._matcher = Book(language, split, matcher), language == "en", matcher

    def noise(self, name: str, rng: random.Random) -> str:
        if name == "d":
            return str(rng.randrange(10))
        if name == "L":
            return rng.choice("ABCDEFGHKLMNPRSTVXZ")
        if name == "brand":
            parts = rng.choices(self.book.noise["syllables"], k=rng.choice((2, 2, 3) if self.english else (1, 2, 2)))
            brand = "".join(parts)
            brand = rng.choice((brand.capitalize(), brand.capitalize(), brand.upper())) if self.english else brand
            return brand + rng.choice(self.book.noise["suffixes"])
        text = rng.choice(self.book.noise.get(name) or ("",))
        return re.sub(r"\{(\w)\}", lambda match: self.noise(match[1], rng), text) if "{" in text else text

    def mark(self, wording: Wording, rng: random.Random, *, text: str | None = None) -> str:
        shown = text if text is not None else self._varied(wording.text, rng)
        return f"{_OPEN}{chr(_FIRST + wording.tag)}{shown}{_CLOSE}"

    def _varied(self, text: str, rng: random.Random) -> str:
        roll = rng.random()
        if roll < 0.05 and (letters := [i for i in range(1, len(text) - 1) if text[i].isascii() and text[i].isalpha()]):
            if len(letters) >= 3:
                text = _misspelt(text, rng.choice(letters), rng)
        elif self.english and roll > 0.99:
            text = text.upper()
        elif self.english and roll > 0.93:
            text = text[0].upper() + text[1:]
        return text

    def fill(self, template: Template, draft: Draft, category: Wording | None = None) -> str:
        """The text of `template`, taking from `draft.open` what it has room for."""
        taken: dict[int, list[Wording]] = {}
        greedy: list[Slot] = []
        for slot in slots_of(template.parts):
            if slot.name in FACETS:
                taken[id(slot)] = [wording] if (wording := draft.take(slot.name)) is not None else []
                if slot.name == "category" and category is None:
                    category = wording
            elif slot.name == "hash":
                taken[id(slot)] = [wording] if (wording := draft.take("topic")) is not None else []
            elif slot.name in ("pre", "kw", "post"):
                greedy.append(slot)
                taken[id(slot)] = []
        if greedy:
            left: list[Wording] = []
            for wording in draft.open:
                fitting = [slot for slot in greedy if slot.name == "kw" or self._fits(wording, slot, len(taken[id(slot)]))]
                (taken[id(draft.rng.choice(fitting))] if fitting else left).append(wording)
            draft.open[:] = left
        return "".join(self._part(part, taken, draft, category) or "" for part in template.parts)

    def _fits(self, wording: Wording, slot: Slot, count: int) -> bool:
        if slot.name == "post":
            return wording.kind != "pre"
        short = not self.english or wording.kind == "pre" or wording.text.count(" ") < 2
        return short and wording.kind in ("", "pre") and wording.facet != "category" and count < 3

    def _part(self, part: Any, taken: dict[int, list[Wording]], draft: Draft, category: Wording | None) -> str | None:
        if isinstance(part, str):
            return part
        if isinstance(part, tuple):
            inner = [self._part(each, taken, draft, category) for each in part]
            return "".join(each or "" for each in inner) if None not in inner else None
        rng, name = draft.rng, part.name
        if (wordings := taken.get(id(part))) is not None:
            if name == "post":
                return " ".join(self._phrase(wording, rng) for wording in wordings).replace(" ,", ",") or None
            if name == "hash":
                return "".join(self.mark(w, rng, text=_hashtag(w.text)) for w in wordings) or None
            separator = " " if name == "pre" and self.english else part.separator
            return separator.join(self.mark(wording, rng) for wording in wordings) or None
        if name in draft.fields:
            return draft.fields[name]
        if name == "filler":
            return self.filler("fillers", draft)
        if name in _AGREEMENT:
            plural = category is None or _is_plural(category.text)
            return _AGREEMENT[name][plural]
        special = f"{name}.{draft.group}"
        return self.noise(special if special in self.book.noise else name, rng) or None

    def _phrase(self, wording: Wording, rng: random.Random) -> str:
        frames = self.book.phrases.get(wording.facet) if not wording.kind else None
        return rng.choice(frames or self.book.phrases.get("any", ["{w}"])).replace("{w}", self.mark(wording, rng))

    def filler(self, section: str, draft: Draft) -> str:
        """A sentence that carries no tag; none twice in a listing, so "" where the section is used up."""
        special = self.book.sections.get(f"{section}.{draft.group}")
        pool = special if special and draft.rng.random() < 0.4 else self.book.sections.get(f"{section}.any", [])
        for template in draft.rng.choices(pool or self.book.sections[section], k=4):
            if id(template) not in draft.used:
                draft.used.add(id(template))
                return self.fill(template, Draft(draft.rng, [], draft.group, draft.fields))
        return ""

    def _write(self, section: str, draft: Draft, wording: Wording) -> str:
        """A sentence of `section` that carries `wording`, and perhaps others that are open."""
        template = draft.rng.choice(self.book.sections[section] or [parse("{w}")])
        if template.carries_any:
            fields = {**draft.fields, "w": self.mark(wording, draft.rng)}
            return self.fill(template, Draft(draft.rng, [], draft.group, fields, draft.used), wording)
        draft.open.insert(0, wording)
        return self.fill(template, draft)

    def noise_text(self, pattern: str, draft: Draft) -> str:
        return self.fill(parse(pattern), Draft(draft.rng, [], draft.group, draft.fields))

    def description(self, draft: Draft, main: Wording, again: list[Wording]) -> str:
        """The running text of a product listing, with a sentence or more for each open wording."""
        rng, sections = draft.rng, self.book.sections
        rng.shuffle(draft.open)
        style = rng.choices(("prose", "lines", "bullets"), weights=(60, 15, 25))[0]
        lines: list[str] = []
        tail = ""
        if rng.random() < (0.03 if self.english else 0.14):
            chosen = [wording for wording in draft.open if not wording.kind and rng.random() < 0.7]
            draft.open = [wording for wording in draft.open if wording not in chosen]
            tail = self._hashtags(chosen, rng)
        capitals = self.english and rng.random() < 0.3
        if main in draft.open or rng.random() < 0.25:
            wording = main if main in draft.open else rng.choice(again)
            draft.open = [each for each in draft.open if each != main]
            lines.append(self._write("category", draft, wording))
        while draft.open:
            if len(draft.open) > 1 and style == "prose" and rng.random() < 0.45 and (line := self._pair("pairs", draft)):
                lines.append(line)
                continue
            wording = draft.open.pop()
            if wording.kind == "pre":
                lines.append(f"{self.mark(wording, rng)} {self.mark(main, rng)}.")
            elif style == "bullets":
                draft.fields["w"] = self.mark(wording, rng, text=wording.text.upper() if capitals else None)
                lines.append(self.fill(rng.choice(sections["bullets"]), Draft(rng, [], draft.group, draft.fields, draft.used)))
            else:
                lines.append(self._write(wording.kind or wording.facet, draft, wording))
        most = 16 if rng.random() < 0.07 else 7 if rng.random() < 0.35 else 3
        for _ in range(rng.randint(0 if lines else 1, most)):
            lines.insert(rng.randint(0, len(lines)), self.filler("fillers", draft))
        return self._joined(lines, style) + tail

    def post_body(self, draft: Draft) -> str:
        """The running text of a post or an article."""
        rng, lines = draft.rng, list[str]()
        style, tail = rng.choice(("prose", "prose", "lines")), ""
        if rng.random() < 0.2:
            tail = self._hashtags(draft.open[1:], rng)
            del draft.open[1:]
        rng.shuffle(draft.open)
        while draft.open:
            topics = sum(wording.facet == "topic" for wording in draft.open)
            if topics > 1 and rng.random() < 0.35 and (line := self._pair("topics", draft)):
                lines.append(line)
                continue
            wording = draft.open.pop()
            section = {"topic": "topic", "category": "post_category"}.get(wording.facet, "post_facet")
            lines.append(self._write(section, draft, wording))
        most = 16 if rng.random() < 0.08 else 8 if rng.random() < 0.35 else 4
        for _ in range(rng.randint(0 if lines else 1, most)):
            lines.insert(rng.randint(0, len(lines)), self.filler("post_fillers", draft))
        return self._joined(lines, style) + tail

    def _joined(self, lines: list[str], style: str) -> str:
        """Each line once; in prose with a full stop where a line has no end of its own."""
        kept = [line for line in dict.fromkeys(map(self.polished, lines)) if line]
        if style != "prose":
            return "\n".join(kept)
        stop = "." if self.english else "。"
        kept = [line + stop if line.rstrip(_CLOSE)[-1].isalnum() else line for line in kept]
        return (" " if self.english else "").join(kept)

    def _hashtags(self, wordings: list[Wording], rng: random.Random) -> str:
        joined = " ".join("#" + self.mark(wording, rng, text=_hashtag(wording.text)) for wording in wordings)
        return rng.choice((" ", "\n")) + joined if joined else ""

    def _pair(self, section: str, draft: Draft) -> str:
        """A sentence for several of the open wordings, "" where none of three fits."""
        have = Counter(wording.facet for wording in draft.open if wording.kind in ("", "pre"))
        for template in draft.rng.choices(self.book.sections[section], k=3) if self.book.sections[section] else ():
            if all(have[facet] >= template.needs.count(facet) for facet in template.needs):
                return self.fill(template, draft)
        return ""

    def polished(self, text: str, *, title: bool = False, rng: random.Random | None = None) -> str:
        """Double spaces, empty brackets, articles and capitals put right."""
        text = re.sub(r" {2,}", " ", re.sub(r"\( *\)|（）", "", text))
        text = re.sub(r" +([,;!?]|\.(?= |$))", r"\1", text)
        text = re.sub(r"([,，、|丨｜/／;·-])( *[,，、|丨｜/／;·-])+", r"\1", text) if title else text
        if _ARTICLE in text:
            text = re.sub(_ARTICLE + r"([^\w]*)(\w)", _with_article, text)
        text = text.strip(_EDGES) if title else text.strip()
        if self.english and title and rng is not None:
            roll = rng.random()
            text = text if roll > 0.55 else _titled(text) if roll > 0.09 else text.lower() if roll > 0.03 else text.upper()
        if self.english and not (title and text.islower()):
            text = re.sub(r"^([^\w]*)([a-z])", lambda match: match[1] + match[2].upper(), text)
        return text


def _with_article(match: re.Match[str]) -> str:
    return f"{'an' if match[2] in 'aeiouAEIOU' else 'a'} {match[1].replace(' ', '')}{match[2]}"


def unmarked(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The plain text, and start, end and tag of every wording in it."""
    pieces: list[str] = []
    spans = []
    length = end = 0
    for match in _MARKED.finditer(text):
        pieces += [text[end : match.start()], match[2]]
        length += match.start() - end
        spans.append((length, length + len(match[2]), ord(match[1]) - _FIRST))
        length += len(match[2])
        end = match.end()
    return "".join([*pieces, text[end:]]), spans


def _is_plural(text: str) -> bool:
    return "&" in text or " and " in text or (text.endswith("s") and not text.endswith(("ss", "us", "is")))


def _titled(text: str) -> str:
    return _TITLE_WORD.sub(lambda m: m[0] if m[0] in _SMALL else m[0][0].upper() + m[0][1:], text)


def _hashtag(text: str) -> str:
    words = re.findall(r"[^\W_]+", text)
    return "".join(word[0].upper() + word[1:] for word in words) if len(words) > 1 else "".join(words)


def _misspelt(text: str, at: int, rng: random.Random) -> str:
    before, letter, after = text[:at], text[at], text[at + 1 :]
    return rng.choice((f"{before}{after}", f"{before}{letter}{letter}{after}", f"{before}{after[:1]}{letter}{after[1:]}"))

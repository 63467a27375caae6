"""Converters that make rows and a vocabulary of public data sets, from a folder that a user names. It knows no metric and
no model, never downloads, and cleans nothing but what it counts in `Converted.notes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eval.labels import Merged, merge, vocabulary_of
from eval.rows import Row
from hangtag.errors import InvalidData, InvalidInput
from hangtag.jsonl import read_objects
from hangtag.listing import MAX_CHARACTERS, Attributes, Listing
from hangtag.text import detect_language, first_control, fold, normalise
from hangtag.vocabulary import MAX_LABEL_CHARACTERS, TagVocabulary


@dataclass(frozen=True, slots=True)
class Converted:
    """A data set as rows, the vocabulary of all their labels, what was left out, cut or merged on the way as counts, and which
    labels became one."""

    rows: list[Row]
    vocabulary: TagVocabulary
    notes: list[str]
    merged: list[Merged]


@dataclass(frozen=True, slots=True)
class _Source:
    """A row as a data set has it, nothing checked. `language` None means: as the text looks."""

    id: str
    tags: list[str]
    title: str = ""
    description: str = ""
    attributes: Attributes = ()
    language: str | None = None
    product_id: str = ""
    category: str = ""


def convert(name: str, directory: Path) -> Converted:
    """The data set `name` (one of `SETS`) from the folder that holds the sets' folders. Raises `InvalidData`."""
    if name not in SETS:
        raise InvalidData(f"unknown data set {name!r}; use one of {', '.join(SETS)}")
    file, read = SETS[name]
    notes: Counter[str] = Counter()
    sources: list[tuple[str, _Source]] = []
    for number, given in read_objects(directory / file, InvalidData):
        place = f"{directory / file}: line {number}"
        try:
            sources += [(place, _cleaned(source, notes)) for source in read(given, f"{name}-{number}", notes)]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InvalidData(f"{place}: not a row of {name}: {error!r}") from error
    counts = Counter(tag for _, source in sources for tag in source.tags)
    forms, merged = merge(counts)
    notes["labels merged into one that differs only in case"] = len(counts) - len(forms)
    rows = []
    for place, source in sources:
        tags = tuple(dict.fromkeys(forms[fold(tag)] for tag in source.tags))
        notes["tags that a row had twice"] += len(source.tags) - len(tags)
        if not tags:
            notes["rows left out: no tags"] += 1
        elif not any(text.strip() for text in (source.title, source.description, *(value for _, value in source.attributes))):
            notes["rows left out: no text"] += 1
        else:
            rows.append(_finished(source, tags, place))
    vocabulary = vocabulary_of((tag for row in rows for tag in row.tags), name)
    return Converted(rows, vocabulary, [f"{count:,} {note}" for note, count in notes.items() if count], merged)


def _finished(source: _Source, tags: tuple[str, ...], place: str) -> Row:
    language = source.language or detect_language(f"{source.title}\n{source.description}")
    try:
        listing = Listing(source.title, source.description, source.attributes, language, source.id)
        return Row(listing, tags, source.product_id or source.id, source.category)
    except InvalidInput as error:
        raise InvalidData(f"{place}: {error}", field=error.field) from error


def _cleaned(source: _Source, notes: Counter[str]) -> _Source:
    """Without control characters, within the limits, each attribute once, its values joined."""
    found = 0

    def clean(text: str) -> str:
        nonlocal found
        if first_control(text) is None:
            return text.strip()
        found += 1
        return "".join(character for character in text if first_control(character) is None).strip()

    values: dict[str, dict[str, None]] = {}
    for name, value in source.attributes:
        values.setdefault(clean(name), {})[clean(value)] = None
    attributes = tuple((name, " / ".join(group)) for name, group in values.items() if name)
    title, description = clean(source.title), clean(source.description)
    room = max(0, MAX_CHARACTERS - len(source.id) - sum(len(name) + len(value) for name, value in attributes))
    notes["listings cut to the limit"] += len(title) + len(description) > room
    title = title[:room]
    tags = [tag for tag in (normalise(clean(tag)) for tag in source.tags) if 0 < len(tag) <= MAX_LABEL_CHARACTERS]
    notes["tags left out: empty or too long"] += len(source.tags) - len(tags)
    notes["texts with control characters, removed"] += found
    return _Source(
        source.id, tags, title, description[: room - len(title)], attributes, source.language, source.product_id, source.category
    )


def _retail(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    return [_Source(row["id"], [row["category"], row["style"]], row["name"], row["description"], language="en")]


def _retail_styles(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    return [_Source(row["id"], [row["style"]], row["name"], row["description"], language="en")]


def _litemall(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    attributes = tuple((pair["attribute"], pair["value"]) for pair in row["attributes"])
    return [_Source(row["id"], [row["category_path"][-1]], row["title"], row["brief"], attributes, "zh")]


def _extractgpt(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    found = [f"{name}: {value}" for name, values in row["target_scores"].items() for value in values if value != "n/a"]
    return [_Source(key, found, row["input"], language="en", category=row["category"])]


def _winget(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    return [_Source(row["id"], row["tags"], row["name"])]


def _lobe(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    sides = [(language, row[language]) for language in ("en", "zh")]
    return [
        _Source(f"{row['id']}.{language}", side["tags"], side["title"], side["description"], (), language, row["id"])
        for language, side in sides
    ]


def _siyuan(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    """A row for each language with a description (with a title, where nothing is described); a missing title is the default."""
    titles, descriptions = _by_language(row["title"] or {}, notes), _by_language(row["description"] or {}, notes)
    name = (row["title"] or {}).get("default", "")
    return [
        _Source(
            f"{row['id']}.{language}",
            row["tags"] or [],
            titles.get(language, name),
            descriptions.get(language, ""),
            (),
            language,
            row["id"],
        )
        for language in sorted(descriptions or titles)
    ]


def _by_language(texts: dict[str, str], notes: Counter[str]) -> dict[str, str]:
    """Texts in English and simplified Chinese. The default text is of the language it looks like, unless another names it."""
    known = {"en": "en", "en_US": "en", "en-US": "en", "zh": "zh", "zh_CN": "zh", "zh-CN": "zh"}
    found: dict[str, str] = {}
    for locale, text in sorted(texts.items(), key=lambda item: (item[0] == "default", item[0])):
        language = detect_language(text) if locale == "default" else known.get(locale)
        notes["texts left out: neither English nor simplified Chinese"] += language is None and bool(text.strip())
        if language is not None and text.strip():
            found.setdefault(language, text)
    return found


def _takg(row: dict[str, Any], key: str, notes: Counter[str], *, language: str) -> list[_Source]:
    title, _, description = row["text"].partition("<eos>")
    return [_Source(key, row["tags"], title, description, language=language)]


def _iflytek(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    return [_Source(str(row["id"]), [row["label_des"]], description=row["sentence"], language="zh")]


def _openbg(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    return [_Source(key, [value for _, value in row["attributes"]], row["title"], language="zh")]


def _implicitave(row: dict[str, Any], key: str, notes: Counter[str]) -> list[_Source]:
    title = row["texts"].removeprefix("[Title]")
    return [_Source(row["id"], [row["attribute_values"]], title, language="en", category=row["category"])]


SETS: dict[str, tuple[str, Callable[[dict[str, Any], str, Counter[str]], list[_Source]]]] = {
    "retail_demo_store": ("retail_demo_store/products.jsonl.gz", _retail),
    "retail_demo_store_styles": ("retail_demo_store/products.jsonl.gz", _retail_styles),
    "litemall_zh": ("litemall_zh/goods.jsonl.gz", _litemall),
    "oa_mine": ("extractgpt/oa-mine.train.jsonl.gz", _extractgpt),
    "ae_110k": ("extractgpt/ae-110k.train.jsonl.gz", _extractgpt),
    "winget_tags": ("winget_tags/packages.jsonl.gz", _winget),
    "lobe_agents": ("lobe_agents/agents_bilingual.jsonl.gz", _lobe),
    "siyuan_bazaar": ("siyuan_bazaar/packages_bilingual.jsonl.gz", _siyuan),
    "takg_stackexchange": ("takg/StackExchange.valid.jsonl.gz", partial(_takg, language="en")),
    "takg_weibo": ("takg/Weibo.valid.jsonl.gz", partial(_takg, language="zh")),
    "fewclue_iflytek": ("fewclue_iflytek/train_few_all.jsonl.gz", _iflytek),
    "openbg_zh_union": ("openbg_zh_union/listings.jsonl.gz", _openbg),
    "implicitave": ("implicitave/val.jsonl.gz", _implicitave),
}
"""Name -> file and reader of each data set. A reader gets the object, a key made of its line, and the notes to count in."""

"""Tags of games from their titles, as they are served: asked once, kept in a file that an interrupted run goes on from. It knows
no histories and no metric.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from hangtag.errors import InvalidData, InvalidListing
from hangtag.listing import Listing
from serve.suggester import Suggester, SuggestionRequest

MOST_TAGS = 4
AT_ONCE = 64
LANGUAGE = "en"

Tags = dict[int, float]
"""Tags by number, and their confidence."""


def games_vocabulary() -> Path:
    """The vocabulary of platforms, kinds, genres, franchises and themes that comes with hangtag."""
    return Path(str(files("eval"))) / "vocabularies" / "video_games.csv"


async def tag_titles(suggester: Suggester, titles: Iterable[str], file: Path, tick: Callable[[int], None]) -> dict[str, Tags]:
    """The tags of every title. Those that `file` has for this suggester are not asked again; `tick` hears how many are done. A
    title that can't be tagged has none."""
    known = dict(_kept(file, suggester))
    missing = [title for title in dict.fromkeys(titles) if title not in known]
    tick(len(known))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as kept:
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            for title, tags in zip(some, await asyncio.gather(*(_tagged(suggester, title) for title in some)), strict=True):
                known[title] = tags
                line = {"by": suggester.identity, "title": title, "tags": list(tags.items())}
                kept.write(json.dumps(line, ensure_ascii=False) + "\n")
            kept.flush()
            tick(len(some))
    return known


async def _tagged(suggester: Suggester, title: str) -> Tags:
    try:
        request = SuggestionRequest(Listing(title=title, language=LANGUAGE), min_tags=0, max_tags=MOST_TAGS, explain=False)
    except InvalidListing:
        return {}
    suggestion = await suggester.suggest(request)
    return {suggester.vocabulary.index(found.tag.id): found.confidence for found in suggestion.tags}


def _kept(file: Path, suggester: Suggester) -> Iterator[tuple[str, Tags]]:
    """What an earlier run of the same suggester kept; a last line that was cut off is removed. Raises `InvalidData`."""
    if not file.exists():
        return
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(file, len(whole))
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            if entry["by"] == suggester.identity:
                yield entry["title"], {int(tag): float(confidence) for tag, confidence in entry["tags"]}
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidData(f"{file}: line {number}: no tags of a title; move the file away") from error

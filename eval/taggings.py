"""Who tagged what with which tags, and when: posts, read from a folder that a user names, and split so that each user's last one
is to be foretold. It knows no system and no metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from eval.separated import read_columns
from hangtag.errors import InvalidData

TAGGINGS, TAGS = "user_taggedartists.dat.gz", "tags.dat.gz"
EARLIEST = 2000
"""Years before are slips of a clock."""


@dataclass(frozen=True, slots=True)
class Post:
    """What one user gave one item at one time."""

    user: str
    item: str
    at: datetime
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Posts:
    """All posts, by user and then by time, and what was left out, as counts."""

    posts: list[Post]
    notes: list[str]


def read_hetrec(directory: Path) -> Posts:
    """hetrec2011-lastfm-2k: `user_taggedartists.dat.gz` (user, artist, tag, day, month, year) and `tags.dat.gz` (tag, name). Rows
    with no such date, or one before EARLIEST, are left out and counted. Raises `InvalidData` naming file and line."""
    names = {id: name for _, (id, name) in read_columns(directory / TAGS, 2)}
    notes: Counter[str] = Counter()
    tags: dict[tuple[str, str, datetime], dict[str, None]] = {}
    for place, (user, item, tag, day, month, year) in read_columns(directory / TAGGINGS, 6):
        if tag not in names:
            raise InvalidData(f"{place}: the tag {tag!r} is not in {TAGS}")
        try:
            at = datetime(int(year), int(month), int(day), tzinfo=UTC)
        except ValueError:
            notes["rows left out: no such date"] += 1
            continue
        if at.year < EARLIEST:
            notes[f"rows left out: before {EARLIEST}"] += 1
            continue
        tags.setdefault((user, item, at), {})[names[tag]] = None
    posts = [Post(user, item, at, tuple(given)) for (user, item, at), given in tags.items()]
    posts.sort(key=lambda post: (post.user, post.at))  # stable: posts of one day stay in the file's order
    return Posts(posts, [f"{count:,} {note}" for note, count in notes.items()])


def last_posts(posts: Sequence[Post]) -> tuple[list[Post], list[Post]]:
    """(known, last): the last post of every user who has two or more, and all others."""
    known: list[Post] = []
    last: list[Post] = []
    for place, post in enumerate(posts):
        ends = place + 1 == len(posts) or posts[place + 1].user != post.user
        begins = place == 0 or posts[place - 1].user != post.user
        (last if ends and not begins else known).append(post)
    return known, last

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eval.tag_rankers import Known, decay_errors, first_tags, rankers
from eval.taggings import Post, last_posts, read_hetrec
from eval.users import tag_figures, worst_decay_error
from hangtag.errors import InvalidData


def hetrec(directory: Path, *rows: str) -> Path:
    """A folder in the set's format."""
    directory.mkdir()
    files = {
        "tags.dat.gz": ["tagID\ttagValue", "1\tmetal", "2\tjazz"],
        "user_taggedartists.dat.gz": ["userID\tartistID\ttagID\tday\tmonth\tyear", *rows],
    }
    for name, lines in files.items():
        (directory / name).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return directory


def post(user: str, item: str, day: int, *tags: str) -> Post:
    return Post(user, item, datetime(2010, 1, day, tzinfo=UTC), tags)


def test_rows_of_one_day_are_one_post_and_slips_are_counted(tmp_path: Path) -> None:
    posts = read_hetrec(
        hetrec(tmp_path / "set", "7\t5\t2\t2\t1\t2010", "7\t5\t1\t1\t1\t2010", "7\t5\t2\t1\t1\t2010", "7\t6\t1\t1\t1\t1956")
    )
    assert posts.posts == [post("7", "5", 1, "metal", "jazz"), post("7", "5", 2, "jazz")]
    assert posts.notes == ["1 rows left out: before 2000"]


@pytest.mark.parametrize(
    ("row", "message"), [("7\t5\t2", "line 2: 3 columns instead of 6"), ("7\t5\t9\t1\t1\t2010", "line 2: the tag '9'")]
)
def test_a_broken_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_hetrec(hetrec(tmp_path / "set", row))


def test_no_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="can't be read"):
        read_hetrec(tmp_path)


def test_the_last_post_of_users_with_two_is_foretold() -> None:
    posts = [post("a", "x", 1, "metal"), post("a", "y", 2, "jazz"), post("b", "x", 1, "metal")]
    assert last_posts(posts) == ([posts[0], posts[2]], [posts[1]])


KNOWN = Known(
    [
        post("a", "x", 1, "jazz"),
        post("a", "y", 2, "jazz"),
        post("a", "z", 20, "metal"),
        post("b", "x", 3, "piano"),
        post("c", "x", 3, "piano"),
        post("c", "w", 3, "metal"),
    ]
)
WANTED = post("a", "x", 21, "metal")


def names(system: str, asked: Post = WANTED) -> list[str]:
    labels = list(KNOWN.names)
    return [labels[tag] for tag in first_tags(rankers(KNOWN)[system](asked), 10)]


def test_each_system_ranks_by_what_its_name_says() -> None:
    assert names("popularity") == ["jazz", "metal", "piano"]
    assert names("MP_u") == ["jazz", "metal"]
    assert names("MP_r") == ["piano", "jazz"]
    assert names("MP_u,r")[0] == "jazz"
    assert names("BLL") == ["metal", "jazz"]  # yesterday's one counts more than two of weeks ago
    assert set(names("hangtag")) == {"jazz", "metal", "piano"}


def test_users_and_items_that_nobody_knows_have_no_tags_of_their_own() -> None:
    stranger = post("nobody", "nothing", 22, "metal")
    assert names("hangtag", stranger) == names("BLL", stranger) == names("MP_u,r", stranger) == []
    assert names("popularity", stranger) == ["jazz", "metal", "piano"]


def test_carried_interests_are_near_the_exact_ones() -> None:
    assert len(decay_errors(KNOWN, [WANTED])) == 2
    assert worst_decay_error(KNOWN, [WANTED]) < 0.001


def test_figures_compare_the_first_system_with_each() -> None:
    first, *others = tag_figures(KNOWN, [WANTED, post("c", "z", 21, "metal")])
    assert first.system == "hangtag"
    assert first.first_has_more == {}
    assert first.figures["HR@10"].value == 1
    assert all(set(each.first_has_more) == {"nDCG@10", "HR@10"} for each in others)

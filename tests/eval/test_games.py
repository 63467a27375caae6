import asyncio
import gzip
from pathlib import Path

import numpy as np
import pytest

from eval.game_tags import games_vocabulary, tag_titles
from eval.games import CANDIDATES, Games, Tags, Titles, Trial, fading, read_games, together, trials
from eval.users import diversity_costs, game_figures
from hangtag.errors import InvalidData
from hangtag.formats import read_vocabulary
from serve.suggester import Suggester

TITLES = [f"{genre} {number}" for genre in ("Racing kart", "Puzzle block") for number in range(15)]
GAMES = Games(TITLES, [([0, 1], 2), ([20, 21], 22), ([3], 4)])
TAGGED = [{0 if number < 15 else 1: 1.0} for number in range(30)]


def llmrank(directory: Path, titles: list[str], histories: list[str]) -> Path:
    directory.mkdir()
    for name, lines in (("Games.item.gz", ["item_id\ttitle", *titles]), ("Games-6k.valid.inter.gz", ["u\tlist\tid", *histories])):
        (directory / name).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return directory


def test_titles_and_histories_are_read(tmp_path: Path) -> None:
    games = read_games(llmrank(tmp_path / "set", ["0\tRock &amp; Roll", "1\tChess"], ["5\t0\t1"]))
    assert games == Games(["Rock & Roll", "Chess"], [([0], 1)])


@pytest.mark.parametrize(
    ("titles", "histories", "message"),
    [
        (["1\tChess"], [], "line 2: the id '1' where 0 was expected"),
        (["0\tChess"], ["5\t0\t9"], "line 2: an id that Games.item.gz does not have"),
        (["0\tChess"], ["5\tx\t0"], "line 2: invalid literal"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, titles: list[str], histories: list[str], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_games(llmrank(tmp_path / "set", titles, histories))


def test_trials_offer_twenty_games_that_the_user_does_not_have() -> None:
    drawn = trials(GAMES, 3)
    assert drawn == trials(GAMES, 3)
    assert trials(GAMES, 2, skipped=1) == drawn[1:]
    for trial in drawn:
        assert len(set(trial.candidates)) == CANDIDATES
        assert not set(trial.candidates) & set(trial.history)
        assert (list(trial.history), trial.candidates[trial.right]) in GAMES.histories


def test_the_latest_game_counts_most() -> None:
    assert fading([5, 6, 7]) == pytest.approx([3**-0.5, 2**-0.5, 1])


def test_words_and_tags_of_the_history_rank_the_candidates() -> None:
    trial = Trial((0,), (16, 1), 1)
    for scores in (Titles(TITLES).scores(trial), Tags(TAGGED, 2).scores(trial)):
        assert scores[1] > scores[0]
    assert together(np.array([1.0, 2.0]), np.array([5.0, 5.0])) == pytest.approx([-1, 1])


def test_bm25_by_hand() -> None:
    titles = Titles(["apple pear", "apple", "plum"])
    (score,) = titles.scores(Trial((1,), (0,), 0))
    rarity, damped = np.log(1 + 1.5 / 2.5), 1.2 * (0.25 + 0.75 * 2 / (4 / 3))
    assert score == pytest.approx(rarity * 2.2 / (1 + damped))


def test_figures_and_what_diversity_costs() -> None:
    drawn = trials(GAMES, 3)
    figures = {each.system: each.figures["nDCG@10"].value for each in game_figures(GAMES, TAGGED, 2, drawn)}
    assert figures["tags alone"] > figures["chance"] >= 0
    costs = diversity_costs(GAMES, TAGGED, 2, drawn)
    assert [cost.diversity for cost in costs] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert costs[-1].intra_list >= costs[0].intra_list


def test_the_vocabulary_of_games_reads() -> None:
    vocabulary = read_vocabulary(games_vocabulary())
    assert {tag.facet for tag in vocabulary} == {"platform", "kind", "genre", "franchise", "theme"}


def test_titles_are_asked_once(suggester: Suggester, tmp_path: Path) -> None:
    file, ticks = tmp_path / "titles.jsonl", list[int]()
    first = asyncio.run(tag_titles(suggester, ["Linen shirt", "Shoes", "Linen shirt", ""], file, ticks.append))
    assert set(first) == {"Linen shirt", "Shoes", ""}
    assert first[""] == {}
    assert all(0 <= confidence <= 1 for tags in first.values() for confidence in tags.values())
    with file.open("a", encoding="utf-8") as kept:
        kept.write('{"cut')
    again = asyncio.run(tag_titles(suggester, ["Linen shirt", "Shoes", ""], file, ticks.append))
    assert again == first
    assert ticks == [0, 3, 3]

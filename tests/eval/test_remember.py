from dataclasses import replace
from pathlib import Path

import pytest

from eval.corpus import Corpus, prepare
from eval.remember import remember
from eval.rows import Row, RowFile
from hangtag.listing import Listing
from serve.candidates import Candidates


def rows_of(name: str, *titles: str) -> RowFile:
    rows = tuple(Row(Listing(title, id=f"{name}{n}"), (title.split()[0],), f"{name}{n}") for n, title in enumerate(titles))
    return RowFile(Path(name), rows, tuple(range(1, len(rows) + 1)))


@pytest.fixture
def corpus() -> Corpus:
    train = [f"{tag} piece {number}" for number, tag in enumerate(("Linen", "linen", "Silk") * 4)]
    return prepare(rows_of("train", *train), rows_of("test", "Silk secret", "Linen airy"))


def test_training_rows_are_remembered_and_test_rows_are_not(corpus: Corpus, tmp_path: Path) -> None:
    heard: list[float] = []
    made = remember(corpus, Candidates(corpus.vocabulary), tmp_path, heard.append)
    assert {entry.id for entry in made.memory.sample(100)} == {f"train{number}" for number in range(12)}
    assert made.memory.similar(Listing("secret"), 5) == []
    assert made.memory.trust.fitted_on == 12
    assert heard == sorted(heard)
    assert {tag for entry in made.memory.sample(100) for tag in entry.tags} <= {tag.id for tag in corpus.vocabulary}


def test_what_an_earlier_run_finished_is_opened_and_what_it_left_half_made_is_made_again(corpus: Corpus, tmp_path: Path) -> None:
    candidates = Candidates(corpus.vocabulary)
    first = remember(corpus, candidates, tmp_path, lambda share: None)
    (folder,) = tmp_path.iterdir()
    made = (folder / "trust.json").stat().st_mtime_ns
    again = remember(corpus, candidates, tmp_path, lambda share: None)
    assert (again.hash, again.seconds) == (first.hash, first.seconds)
    assert (folder / "trust.json").stat().st_mtime_ns == made
    first.memory.close()
    for damage in (folder / "finished.json").unlink, (folder / "index" / "meta.json").unlink:
        damage()
        assert remember(corpus, candidates, tmp_path, lambda share: None).hash == first.hash
        assert (folder / "finished.json").exists()


def test_other_training_rows_are_another_memory(corpus: Corpus, tmp_path: Path) -> None:
    candidates = Candidates(corpus.vocabulary)
    assert corpus.train is not None
    shared = replace(corpus.train, rows=tuple(replace(row, product_id="p") for row in corpus.train.rows))
    hashes = {remember(each, candidates, tmp_path, lambda share: None).hash for each in (corpus, replace(corpus, train=shared))}
    assert len(hashes) == len(list(tmp_path.iterdir())) == 2

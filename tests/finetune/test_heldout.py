from pathlib import Path

import finetune.synthesize
from eval.corpus import prepare
from eval.rows import RowFile, read_rows, write_rows
from finetune.heldout import rows_of
from finetune.synthesize import LANGUAGES, Synthesizer, read_domains
from hangtag.bundle import Bundle
from serve.settings import DEFAULT_BUNDLE


def test_held_out_listings_are_rows_over_the_bundles_vocabulary(tmp_path: Path) -> None:
    vocabulary = Bundle.load(DEFAULT_BUNDLE).vocabulary
    domains = read_domains(Path(finetune.synthesize.__file__).parent / "domains.csv")
    rows = rows_of(Synthesizer(vocabulary, domains, split="test", seed=5), 12)
    assert {row.listing.id.partition("-")[0] for row in rows} == set(LANGUAGES)
    assert {row.listing.language for row in rows} == set(LANGUAGES)
    file = tmp_path / "heldout.jsonl"
    write_rows(rows, file)
    assert read_rows(file) == rows
    corpus = prepare(None, RowFile(file, tuple(rows), tuple(range(len(rows)))), vocabulary)
    assert [[vocabulary.tags[tag].id for tag in gold] for gold in corpus.gold] == [list(row.tags) for row in rows]

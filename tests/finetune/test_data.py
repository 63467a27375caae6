import json
from pathlib import Path

import pytest

from finetune.config import Data, DataFile
from finetune.data import read_data
from finetune.sources import read_sources
from hangtag.errors import InvalidData
from hangtag.lookup import tag_named
from tests.finetune.shop import recipe_of, write_shop


def data_of(folder: Path, **changes: object) -> Data:
    given = Data.model_validate(recipe_of(folder, folder)["data"] | changes)
    files = tuple(file.model_copy(update={"path": folder / file.path}) for file in given.files)
    return given.model_copy(update={"files": files})


def test_a_shops_columns_become_rows(tmp_path: Path):
    write_shop(tmp_path / "shop.csv")
    source = read_sources(data_of(tmp_path).files, skip_bad=False)
    row = source.rows.rows[3]
    assert (row.listing.title, row.tags, row.product_id, row.user_id) == (
        "Wireless linen 3",
        ("Natural", "Season pick"),
        "S3",
        "u0",
    )
    assert row.at is not None
    assert row.at.isoformat() == "2026-03-01T03:00:00+00:00"
    assert source.behaviours[row.listing.id] == "view"
    assert source.rows.place(3) == f"{tmp_path / 'shop.csv'}: line 5"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("sku,", "skuu,", "there is no column 'sku' for product_id; did you mean 'skuu'?"),
        ("S4,Wireless headphones 4,Audio", "S4,Wireless headphones 4,", "shop.csv: line 6: the row has no tags"),
        ("04:00:00,u1,looked", "04:00:00,u1,ate", "shop.csv: line 6: unknown behaviour 'ate'"),
        ("2026-03-01T04", "2026-33-01T04", "shop.csv: line 6: '2026-33-01T04:00:00' is no time"),
        ("S4,", "S4,x,", "shop.csv: line 6: 7 columns, the header has 6"),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path: Path, before: str, after: str, message: str):
    path = write_shop(tmp_path / "shop.csv")
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(InvalidData) as caught:
        read_data(data_of(tmp_path), "shop")
    assert message in str(caught.value)


def test_bad_lines_can_be_left_out(tmp_path: Path):
    path = write_shop(tmp_path / "shop.csv")
    path.write_text(path.read_text().replace("04:00:00,u1,looked", "04:00:00,u1,ate", 1).replace(" 5,Wardrobe", " 5,"))
    data = read_data(data_of(tmp_path, skip_bad=True), "shop")
    assert len(data.learn.gold) + len(data.held.gold) == 38
    assert any("2 lines left out" in note and "line 6" in note for note in data.notes)


def test_a_tag_that_the_vocabulary_lacks(tmp_path: Path):
    write_shop(tmp_path / "shop.csv")
    (tmp_path / "tags.txt").write_text("Audio\nWardrobe\nWalk\nNatural\n")
    data = data_of(tmp_path).model_copy(update={"vocabulary": tmp_path / "tags.txt"})
    with pytest.raises(InvalidData, match=r"shop.csv: line \d+: .*no tag 'Season pick'; add it to .*tags.txt, or set .*: drop"):
        read_data(data, "shop")
    kept = read_data(data.model_copy(update={"unknown_tags": "drop"}), "shop")
    assert len(kept.vocabulary) == 4
    assert all(len(gold) == 1 for gold in kept.learn.gold)


def test_no_product_is_on_both_sides_and_summaries_are_of_earlier_events(tmp_path: Path):
    path = write_shop(tmp_path / "shop.csv", 60)
    path.write_text(path.read_text().replace("S7,", "S3,").replace("S11,", "S3,"))
    for by in ("product", "time"):
        data = read_data(data_of(tmp_path, validation={"share": 0.3, "by": by}), "shop")
        train, held = ({row.product_id for row in side.test.rows} for side in (data.learn, data.held))
        assert train
        assert held
        assert not train & held
        some = 0
        for row in (*data.learn.test.rows, *data.held.test.rows):
            for event in row.events:
                assert event.at < row.at
                assert event.product != row.product_id
                assert event.product in train
                some += 1
        assert some


def test_events_that_name_a_product_teach_its_tags_but_never_the_rows_own(tmp_path: Path):
    event = {"type": "view", "at": "2026-01-01T00:00:00Z"}
    rows: list[dict[str, object]] = [{"id": f"p{n}", "title": f"Thing {n}", "tags": [f"Tag {n % 3}"]} for n in range(30)]
    for row in rows:
        row["events"] = [event | {"product": "p0"}, event | {"product": row["id"]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_data(Data.model_validate({"files": [{"path": tmp_path / "rows.jsonl"}], "validation": {"share": 0.2}}), "shop")
    learned = {row.product_id or row.listing.id for row in read.learn.test.rows}
    assert "p0" in learned
    first = read.vocabulary.tags[tag_named("Tag 0", read.vocabulary)].id
    for row, events in zip(read.learn.test.rows, read.learn.events, strict=True):
        assert [e.tags for e in events] == [() if e.product == row.listing.id else (first,) for e in events]


def test_rows_that_evaluation_split_off_still_give_validation_rows(tmp_path: Path):
    from eval.splits import draw

    path = write_shop(tmp_path / "shop.csv", 200)
    lines = path.read_text().splitlines()
    kept = [line for line in lines[1:] if draw(line.split(",")[0]) >= 0.2]
    path.write_text("\n".join([lines[0], *kept]) + "\n")
    data = read_data(data_of(tmp_path, validation={"share": 0.1}), "shop")
    assert len(data.held.gold) > 5


def test_parquet_and_json_lines_read_alike(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = [{"title": "Linen shirt", "labels": ["Linen", "Shirt"]}, {"title": "Mug", "labels": ["Mug"]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text(
        '{"title": "Linen shirt", "labels": ["Linen", "Shirt"]}\n{"title": "Mug", "labels": ["Mug"]}\n'
    )
    mapped = {"title": "title", "tags": "labels"}
    read = [
        read_sources([DataFile.model_validate({"path": tmp_path / name, "columns": mapped})], skip_bad=False).rows.rows
        for name in ("rows.parquet", "rows.jsonl")
    ]
    assert [(row.listing.title, row.tags) for row in read[0]] == [(row.listing.title, row.tags) for row in read[1]]
    assert read[0][0].tags == ("Linen", "Shirt")

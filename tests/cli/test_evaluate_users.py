import gzip
import json
from pathlib import Path

from tests.cli.commands import Run, assert_refused


def compressed(file: Path, *lines: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def test_taggings_and_games_give_tables_and_a_report(run: Run, tmp_path: Path) -> None:
    hetrec, llmrank, out = tmp_path / "hetrec", tmp_path / "llmrank", tmp_path / "out"
    posts = [f"{user}\t{artist}\t{1 + artist % 2}\t{1 + artist}\t1\t2010" for user in (1, 2, 3) for artist in range(5)]
    compressed(hetrec / "user_taggedartists.dat.gz", "userID\tartistID\ttagID\tday\tmonth\tyear", *posts)
    compressed(hetrec / "tags.dat.gz", "tagID\ttagValue", "1\tmetal", "2\tjazz")
    compressed(llmrank / "Games.item.gz", "id\ttitle", *(f"{number}\tHalo {number} Xbox" for number in range(24)))
    compressed(llmrank / "Games-6k.valid.inter.gz", "user\tlist\tid", "0\t0 1 2\t3", "1\t4\t5")
    result = run(
        "eval", "users", "--taggings", str(hetrec), "--games", str(llmrank), "--limit", "2", "--vectors", "--out", str(out)
    )
    assert result.exit_code == 0
    for part in ("BLL+MP_r", "titles alone (BM25)", "tags, titles and vectors", "diversity", "Interests carried forward"):
        assert part in result.stdout
    report = json.loads((out / "users.json").read_text(encoding="utf-8"))
    assert report["taggings"]["users"] == 3
    assert report["games"]["users"] == 2
    assert report["taggings"]["figures"][0]["system"] == "hangtag"
    assert 0 <= report["games"]["figures"][0]["figures"]["nDCG@10"]["value"] <= 1


def test_nothing_to_measure_is_refused(run: Run, tmp_path: Path) -> None:
    assert_refused(run("eval", "users", "--out", str(tmp_path)), "give --taggings, --games or both")


def test_a_folder_without_the_set_is_refused(run: Run, tmp_path: Path) -> None:
    assert_refused(run("eval", "users", "--taggings", str(tmp_path), "--out", str(tmp_path)), "tags.dat.gz", "can't be read")

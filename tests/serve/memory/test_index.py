import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hangtag.errors import InvalidMemory
from hangtag.listing import Listing
from serve.memory.index import COUNTED_FROM, COUNTS_FILE, Entry, TaggedIndex, entry_of
from serve.memory.terms import Terms, column, columns, pack


def entry(id: str, title: str, *tags: str, group: str = "") -> tuple[Entry, Terms]:
    listing = Listing(title, id=id)
    terms = Terms.of(listing)
    return entry_of(listing, tags or ("Linen",), group, terms), terms


def ids(index: TaggedIndex, title: str, count: int = 10) -> list[str]:
    return [found.id for found in index.search(Terms.of(Listing(title)), count)]


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path) -> None:
    listing = Listing("Linen 衬衫", "airy", (("colour", "navy"),), "en", "1")
    written = entry_of(listing, ("Linen", "Shirts"), "product", Terms.of(listing))
    index = TaggedIndex(tmp_path)
    index.write([(written, Terms.of(listing))])
    (found,) = index.search(Terms.of(Listing("linen")), 5)
    assert found.says_the_same_as(written)
    assert (found.id, found.listing, found.terms.tolist()) == ("1", listing, pack(Terms.of(listing)).tolist())
    assert index.get("1") is not None
    assert index.get("2") is None


def test_what_was_added_replaced_unchanged_and_removed_is_counted(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    assert index.write([entry("1", "Linen shirt"), entry("2", "Silk scarf"), entry("1", "Wool socks")]) == {
        "added": 2,
        "replaced": 1,
    }
    assert (ids(index, "linen"), ids(index, "socks"), len(index)) == ([], ["1"], 2)
    stamp = index.stamp
    assert index.write([entry("1", "Wool socks")]) == {"unchanged": 1}
    assert index.stamp == stamp
    assert index.write([entry("1", "Wool socks", "Wool")], removed=["2", "3", "2"]) == {"replaced": 1, "removed": 1}
    assert (ids(index, "scarf"), len(index)) == ([], 1)


def test_a_second_reader_sees_what_a_writer_just_committed(tmp_path: Path) -> None:
    writer = TaggedIndex(tmp_path)
    writer.write([entry("1", "Linen shirt")])
    reader = TaggedIndex(tmp_path)
    assert ids(reader, "linen") == ["1"]
    writer.write([entry("2", "Linen trousers")], removed=["1"])
    assert ids(reader, "linen") == ["2"]
    assert ids(reader, "shirt") == []


def test_only_one_process_writes_and_the_other_is_told_so(tmp_path: Path) -> None:
    first, second = TaggedIndex(tmp_path), TaggedIndex(tmp_path)
    first.write([entry("1", "Linen shirt")])
    with pytest.raises(InvalidMemory, match="another process writes to this memory; let it finish"):
        second.write([entry("2", "Silk scarf")])
    first.close()
    second.write([entry("2", "Silk scarf")])
    assert len(first) == len(second) == 2


def test_a_failure_while_writing_leaves_nothing_of_it(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    index.write([entry("1", "Linen shirt")])

    def broken() -> object:
        yield entry("2", "Silk scarf")
        yield entry("1", "Wool socks")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        index.write(broken())  # type: ignore[arg-type]
    assert (ids(index, "scarf"), ids(index, "linen"), len(index)) == ([], ["1"], 1)
    index.write([entry("2", "Silk scarf")])
    assert ids(index, "scarf") == ["2"]


def test_a_process_that_dies_before_the_commit_leaves_what_was_there(tmp_path: Path) -> None:
    script = """
    import os, sys
    from pathlib import Path
    from serve.memory.index import TaggedIndex
    from tests.serve.memory.test_index import entry

    index = TaggedIndex(Path(sys.argv[1]))
    index.write([entry(str(n), f"Linen shirt {n}") for n in range(50)])

    def dying():
        for n in range(25, 20_000):
            yield entry(str(n), f"Silk scarf {n}")
        os._exit(9)

    index.write(dying())
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "index")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    assert subprocess.run(command, env=environment, timeout=120).returncode == 9
    index = TaggedIndex(tmp_path / "index")
    assert (len(index), len(ids(index, "linen", 100)), ids(index, "silk")) == (50, 50, [])
    index.write([entry("60", "Silk scarf")])
    assert ids(index, "silk") == ["60"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"segments": 3}'])
def test_a_broken_index_is_an_error_that_names_its_folder(tmp_path: Path, content: bytes) -> None:
    index = TaggedIndex(tmp_path / "index")
    index.write([entry("1", "Linen shirt")])
    index.close()
    (tmp_path / "index" / "meta.json").write_bytes(content)
    with pytest.raises(InvalidMemory, match="index: no index of this version of hangtag, or a broken one"):
        TaggedIndex(tmp_path / "index")


def test_an_index_without_its_list_of_segments_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    index.write([entry("1", "Linen shirt")])
    index.close()
    (tmp_path / "meta.json").unlink()
    with pytest.raises(InvalidMemory, match=r"no meta\.json"):
        TaggedIndex(tmp_path)


def test_an_index_that_goes_away_is_an_error_at_the_next_search(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path / "index")
    index.write([entry("1", "Linen shirt")])
    index.close()
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(InvalidMemory, match="the index is gone"):
        ids(index, "linen")


def test_a_sample_is_the_same_every_time(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    assert index.sample(3) == []
    index.write([entry(str(number), f"Linen shirt {number}") for number in range(20)])
    picked = [found.id for found in index.sample(7)]
    assert len(set(picked)) == 7
    assert [found.id for found in TaggedIndex(tmp_path).sample(7)] == picked
    assert len(index.sample(100)) == 20


def test_tags_are_counted(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    index.write([entry("1", "a", "Linen", "Shirts"), entry("2", "b", "Linen"), entry("3", "c", "耳机")])
    assert index.tags() == {"Linen": 2, "Shirts": 1, "耳机": 1}
    assert index.tagged(["Shirts", "Silk", "Linen"]).tolist() == [1, 0, 2]


def test_counts_of_terms_survive_on_disk_and_are_made_again_where_they_were_lost(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    index.write([entry(str(number), f"Linen {'airy' if number < 5 else number}") for number in range(COUNTED_FROM + 10)])
    index.close()
    places = columns(pack(Terms.of(Listing("linen airy"))))
    rarity = index.rarity(places)
    file = tmp_path / COUNTS_FILE
    for content in (file.read_bytes(), b"", b"no archive"):
        file.write_bytes(content)
        assert np.array_equal(TaggedIndex(tmp_path).rarity(places), rarity)


def test_rarity_is_the_smoothed_idf(tmp_path: Path) -> None:
    index = TaggedIndex(tmp_path)
    index.write([entry("1", "linen shirt"), entry("2", "linen scarf"), entry("3", "wool")])
    places = np.array([column(word) for word in ("linen", "scarf", "xylophone")], dtype=np.uint32)
    assert index.rarity(places).tolist() == pytest.approx([np.log(4 / 3) + 1, np.log(4 / 2) + 1, np.log(4 / 1) + 1])

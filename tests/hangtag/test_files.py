import json
import os
import stat
from pathlib import Path

import pytest

from hangtag.errors import OutputError
from hangtag.files import save_json, whole


def _break_off(partial: Path, path: Path) -> None:
    partial.write_text("half")
    assert path.read_text() == "old"
    raise RuntimeError


def test_a_file_takes_its_place_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole(path) as partial:
        _break_off(partial, path)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    with whole(path) as partial:
        partial.write_text("new")
    assert (path.read_text(), len(list(tmp_path.iterdir()))) == ("new", 1)


@pytest.mark.parametrize("name", ["file/a", "a" * 300])
def test_a_place_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"can't be written: (Not a directory|File name too long)"):
        save_json(1, tmp_path / name)


def test_a_place_that_can_not_be_written_to(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="can't be written: No such file or directory"),
        whole(tmp_path / "none" / "a") as partial,
    ):
        partial.write_text("x")


def test_json_is_for_people_too(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_json({"标签": ["蓝牙耳机"]}, path)
    assert json.loads(path.read_bytes()) == {"标签": ["蓝牙耳机"]}
    assert "蓝牙耳机" in path.read_text(encoding="utf-8")
    save_json([], path)
    assert path.read_text() == "[]\n"


def test_what_cannot_be_said_in_json_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_json(1, path)
    with pytest.raises(TypeError):
        save_json(object(), path)
    assert (path.read_text(), os.listdir(tmp_path)) == ("1\n", ["a.json"])


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_json(1, path)
    (tmp_path / ".a.json.partial").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device; make room"):
        save_json(2, path)
    assert (path.read_text(), os.listdir(tmp_path)) == ("1\n", ["a.json"])


def test_permissions_given_before_writing_stay(tmp_path: Path) -> None:
    with whole(tmp_path / "secret") as partial:
        partial.touch(0o600)
        partial.write_text("x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600

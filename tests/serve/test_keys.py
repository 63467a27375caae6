import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from hangtag.errors import InvalidInput, InvalidSettings, UnknownKey
from serve.keys import KeyFile, add_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_found_by_how_it_is_written_and_kept_only_as_a_hash(path: Path) -> None:
    key, secret = add_key(path, "acme", rate="5/second")
    assert secret.startswith(f"ht_{key.id}_")
    assert KeyFile(path).find(secret) == key
    assert (key.tenant, key.admin, key.rate) == ("acme", False, "5/second")
    content = path.read_text()
    assert secret not in content
    assert secret.rpartition(f"{key.id}_")[2] not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_key_is_refused_alike(path: Path) -> None:
    key, secret = add_key(path, "acme")
    keys = KeyFile(path)
    wrong = [
        "",
        "ht_",
        secret[:-1],
        secret + "A",
        f"ht_{key.id}_{'A' * 43}",
        secret.replace(key.id, "00000000"),
        "é" * 60,
        "\ud800",
    ]
    messages = set()
    for text in wrong:
        with pytest.raises(UnknownKey) as caught:
            keys.find(text)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert keys.find(secret)


def test_changes_of_the_file_are_seen_without_a_restart(path: Path) -> None:
    first, secret = add_key(path, "acme")
    keys = KeyFile(path)
    other, later = add_key(path, "other", admin=True)
    assert keys.find(later) == other
    revoked = revoke_key(path, first.id)
    assert revoked.revoked
    with pytest.raises(UnknownKey):
        keys.find(secret)
    assert revoke_key(path, first.id) == revoked
    assert [key.id for key in read_keys(path).values()] == [first.id, other.id]


def test_a_file_that_breaks_leaves_the_keys_as_they_were(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key, secret = add_key(path, "acme")
    keys = KeyFile(path)
    path.write_text("{")
    assert keys.find(secret) == key
    path.unlink()
    assert keys.find(secret) == key
    assert len(caplog.records) == 2
    assert "the keys stay as they were" in caplog.text


def test_a_file_that_can_not_be_read_now_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, secret = add_key(path, "acme")
    keys = KeyFile(path)
    revoke_key(path, key.id)

    def too_many(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", too_many)
        for _ in range(3):
            assert keys.find(secret) == key
    assert len(caplog.records) == 1
    with pytest.raises(UnknownKey):
        keys.find(secret)


def test_who_owns_the_file_goes_on_owning_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda _, owner, group: given.append((owner, group)))
    add_key(path, "acme")
    assert given == []
    add_key(path, "other")
    assert given == [(path.stat().st_uid, path.stat().st_gid)]


def test_keys_that_are_made_at_the_same_time_are_all_kept(path: Path) -> None:
    threads = [threading.Thread(target=add_key, args=(path, f"tenant-{number}")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.tenant for key in read_keys(path).values()} == {f"tenant-{number}" for number in range(12)}
    assert [entry for entry in os.listdir(path.parent) if entry.endswith(".partial")] == []


def test_who_asks_without_keys_is_no_tenant_with_keys(path: Path) -> None:
    with pytest.raises(InvalidInput, match="'default' is who asks a server without keys"):
        add_key(path, "default")


@pytest.mark.parametrize("tenant", ["", "Acme", "a/b", "../a", "a" * 64, "a b", "é"])
def test_a_tenant_has_a_plain_name(path: Path, tenant: str) -> None:
    with pytest.raises(InvalidInput, match="no name for a tenant"):
        add_key(path, tenant)
    assert not path.exists()


def test_an_unknown_id_is_refused(path: Path) -> None:
    add_key(path, "acme")
    with pytest.raises(InvalidInput, match="no key 'zzz'"):
        revoke_key(path, "zzz")


GOOD = {"id": "0" * 8, "tenant": "a", "sha256": "0" * 64, "created": "2026-11-23T00:00:00+00:00"}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"format": 2, "keys": []}',
        '{"format": 1}',
        '{"format": 1, "keys": [1]}',
        json.dumps({"format": 1, "keys": [{**GOOD, "more": 1}]}),
        json.dumps({"format": 1, "keys": [{**GOOD, "admin": "yes"}]}),
        json.dumps({"format": 1, "keys": [{**GOOD, "sha256": None}]}),
        "\udcff",
    ],
)
def test_a_file_that_is_none_is_refused(path: Path, content: str) -> None:
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InvalidSettings, match="are no API keys"):
        KeyFile(path)
    with pytest.raises(InvalidSettings):
        add_key(path, "acme")
    assert path.read_bytes() == content.encode(errors="surrogateescape")


def test_no_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(InvalidSettings, match="hangtag keys add"):
        KeyFile(path)

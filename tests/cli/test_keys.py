from pathlib import Path

import pytest

from hangtag.errors import UnknownKey
from serve.keys import KeyFile
from tests.cli.commands import Run, assert_refused


def test_a_key_is_given_out_shown_and_taken_back(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("HANGTAG_KEYS", str(path))
    added = run("keys", "add", "acme", "--admin", "--rate", "10/second")
    (secret,) = added.stdout.split()
    key = KeyFile(path).find(secret)
    assert (key.tenant, key.admin, key.rate) == ("acme", True, "10/second")
    listed = run("keys", "list").stdout
    assert key.id in listed
    assert "acme" in listed
    assert secret not in listed
    run("keys", "revoke", key.id)
    with pytest.raises(UnknownKey):
        KeyFile(path).find(secret)


def test_what_can_not_be_is_refused(run: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "keys.json")
    assert_refused(run("keys", "add", "acme"), "--file", "HANGTAG_KEYS")
    assert_refused(run("keys", "list", "--file", file), "no keys here", "hangtag keys add")
    assert_refused(run("keys", "add", "Acme Inc", "--file", file), "no name for a tenant")
    assert_refused(run("keys", "add", "acme", "--rate", "often", "--file", file), "'often' is no rate")
    assert_refused(run("keys", "add", "acme", "--file", str(tmp_path / "none" / "keys.json")), "there is no directory")
    run("keys", "add", "acme", "--file", file)
    assert_refused(run("keys", "revoke", "nobody", "--file", file), "no key 'nobody'")

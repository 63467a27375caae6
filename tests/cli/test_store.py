import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from finetune.feedback import read_feedback
from hangtag.listing import Listing
from serve.keys import LOCAL_TENANT
from serve.store import Feedback, Product, Store
from tests.cli.commands import Run, assert_refused
from tests.fakes import vocabulary_of

TAGS = "Linen\nWool\nShirts\n"
VOCABULARY = vocabulary_of("Linen", "Wool", "Shirts")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "tags.txt").write_text(TAGS, encoding="utf-8")
    monkeypatch.setenv("HANGTAG_VOCABULARY", str(tmp_path / "tags.txt"))
    monkeypatch.setenv("HANGTAG_STORE", url := f"sqlite:///{tmp_path / 'store.db'}")
    return url


def ago(**age: float) -> str:
    return (datetime.now(UTC) - timedelta(**age)).isoformat()


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_events_of_every_format_are_the_same_and_count_once(run: Run, url: str, tmp_path: Path) -> None:
    at = ago(hours=1)
    csv = f"user,type,at,product,tags,idempotency_key\nu,view,{at},,linen|Shirts,k1\nv,like,{at},,Wool,\n"
    lines = [
        {"user": "u", "type": "view", "at": at, "tags": ["Linen", "Shirts"], "idempotency_key": "k1"},
        {"user": "v", "type": "like", "at": at, "tags": ["Wool"]},
    ]
    jsonl = "".join(json.dumps(line) + "\n" for line in lines)
    assert run("events", "load", write(tmp_path / "e.csv", csv)).stdout == "2 events taken in, 0 had come before\n"
    assert run("events", "load", write(tmp_path / "e.jsonl", jsonl)).stdout == "0 events taken in, 2 had come before\n"
    store = Store(url)
    assert [event.tags for event in store.history(LOCAL_TENANT, "u")] == [("Linen", "Shirts")]
    assert set(store.profile(LOCAL_TENANT, "v", VOCABULARY).weights) == {1}
    store.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u,wave,2026-01-01T00:00:00Z,,Linen", "line 3: unknown event type 'wave'"),
        ("u,view,2026-01-01T00:00:00,,Linen", "line 3: the time 2026-01-01T00:00:00 has no zone"),
        ("u,view,2126-01-01T00:00:00Z,,Linen", "line 3: the time 2126-01-01T00:00:00+00:00 lies in the future"),
        ("u,view,2026-01-01T00:00:00Z,,Velvet", "line 3: the vocabulary 'tags' has no tag 'Velvet'"),
        ("u,view,2026-01-01T00:00:00Z,X9,", "line 3: the product 'X9' is unknown"),
        (",view,2026-01-01T00:00:00Z,,Linen", "line 3: `user` is missing"),
        ("u,view", "line 3: 2 columns, the header has 5"),
    ],
)
def test_a_line_that_is_wrong_is_named(run: Run, url: str, tmp_path: Path, line: str, message: str) -> None:
    file = write(tmp_path / "e.csv", f"user,type,at,product,tags\nu,view,2026-01-01T00:00:00Z,,Linen\n{line}\n")
    assert_refused(run("events", "load", file), message)


def test_an_unknown_column_is_refused(run: Run, url: str, tmp_path: Path) -> None:
    file = write(tmp_path / "e.csv", "user,typ,at\nu,view,2026-01-01T00:00:00Z\n")
    assert_refused(run("events", "load", file), "unknown column 'typ'")


def test_users_are_given_out_deleted_and_thinned_by_age(run: Run, url: str, tmp_path: Path) -> None:
    rows = f"user,type,at,tags\nu,view,{ago(days=9)},Linen\nu,view,{ago(days=1)},Wool\nv,view,{ago(days=9)},Linen\n"
    run("events", "load", write(tmp_path / "e.csv", rows))
    assert len(json.loads(run("users", "export", "u").stdout)["events"]) == 2
    assert run("users", "purge", "--older-than", "1w").stdout == "Deleted: 2 events, 0 suggestions, 1 users\n"
    held = json.loads(run("users", "export", "u").stdout)
    assert [event["tags"] for event in held["events"]] == [["Wool"]]
    assert set(held["interests"]) == {"Wool"}
    assert "nothing is held of u" in run("users", "delete", "u").stdout
    assert run("users", "delete", "u").stdout == "Nothing is held of u\n"
    assert run("users", "purge", "--older-than", "soon").exit_code == 2


def test_feedback_becomes_rows_for_training(run: Run, url: str, tmp_path: Path) -> None:
    store = Store(url)
    shirt = Listing("Linen shirt", attributes=(("fit", "relaxed"),), id="S1")
    store.put_products(LOCAL_TENANT, [Product(shirt)])
    first = store.record(LOCAL_TENANT, shirt, ["Wool", "Shirts"])
    store.give_feedback(LOCAL_TENANT, first, Feedback(("Shirts",), ("Wool",), ("Linen",)))
    store.record(LOCAL_TENANT, shirt, ["Wool"])
    other = store.record(LOCAL_TENANT, Listing("Wool sock"), [])
    store.give_feedback(LOCAL_TENANT, other, Feedback(added=("Wool",)))
    elsewhere = store.record("other", shirt, ["Wool"])
    store.give_feedback("other", elsewhere, Feedback(accepted=("Wool",)))
    store.close()
    file = tmp_path / "feedback.jsonl"
    assert run("feedback", "export", str(file)).stdout == f"Feedback on 2 suggestions in {file}\n"
    found = {each.row.listing.id: each for _, each in read_feedback(file)[0]}
    assert set(found) == {first, other}
    assert (found[first].suggested, found[first].right, found[first].rejected) == (
        ("Wool", "Shirts"),
        ("Shirts", "Linen"),
        ("Wool",),
    )
    assert (found[first].row.product_id, found[first].row.listing.attributes) == ("S1", (("fit", "relaxed"),))
    assert found[other].row.tags == ("Wool",)


def test_a_store_that_can_not_be_used_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for store, message, code in (
        (f"sqlite:///{tmp_path}/none/x.db", "unable to open database file", 1),
        ("mysql://localhost/x", "is no database known here", 2),
        ("here", "the store's URL can't be read", 2),
        ("none", "nothing is kept", 2),
    ):
        assert_refused(run("users", "export", "u", "--store", store), message, code=code)
    monkeypatch.setenv("HANGTAG_STORE", "postgresql://user:password@127.0.0.1:1/x")
    refused = run("users", "export", "u")
    assert_refused(refused, code=1)
    assert "password" not in refused.stderr

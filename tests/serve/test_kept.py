"""Events, the catalogue, feedback and users over HTTP, and what they do to the next suggestion."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hangtag.history import Event
from hangtag.listing import Listing
from serve.app import create_app
from serve.auth import Doorkeeper
from serve.keys import KeyFile, add_key
from serve.memory import Memory
from serve.personal import Visit
from serve.shelf import Shelf
from serve.state import Services
from serve.store import Product, Purged, Store, UserEvent
from serve.suggester import Suggester, SuggestionRequest

SUGGESTIONS, EVENTS, LISTINGS, FEEDBACK = "/v1/suggestions", "/v1/events", "/v1/listings", "/v1/feedback"
PRESENT = {"title": "A present", "max_tags": 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def client(suggester: Suggester, file: Path) -> Iterator[TestClient]:
    """Without the lifespan, since the engine belongs to the session."""
    shelf = Shelf(Store(f"sqlite:///{file}"))
    yield TestClient(create_app(Services(suggester, shelf=shelf)), raise_server_exceptions=False)
    shelf.close()


def event(user: str = "u", type: str = "purchase", minutes: float = 1, **more: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    return {"user": user, "type": type, "at": at.isoformat(), **more}


def posted(client: TestClient, path: str, body: Any, status: int = 200) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def fans(client: TestClient, *tags: str, user: str = "u", count: int = 400) -> None:
    """The user did so much with these tags that they win."""
    posted(client, EVENTS, {"events": [event(user, minutes=1 + number / 60, tags=list(tags)) for number in range(count)]})


def tags_of(answer: Any) -> list[str]:
    return [tag["id"] for tag in answer["tags"]]


def someone_elses(client: TestClient) -> str:
    """A tag that the answer to nobody in particular does not have."""
    return next(id for id in ("category/shoes", "material/linen") if id not in tags_of(posted(client, SUGGESTIONS, PRESENT)))


def test_an_event_is_in_the_very_next_answer(client: TestClient) -> None:
    liked = someone_elses(client)
    before = posted(client, SUGGESTIONS, {**PRESENT, "user": "u"})
    fans(client, liked)
    after = posted(client, SUGGESTIONS, {**PRESENT, "user": "u"})
    assert tags_of(before) != tags_of(after) == [liked]
    assert after["tags"][0]["interest"] is True
    assert "Chosen for your interests: " in after["explanation"]
    assert tags_of(posted(client, SUGGESTIONS, {**PRESENT, "user": "v"})) == tags_of(before)
    assert tags_of(posted(client, SUGGESTIONS, {**PRESENT, "user": "u", "personalise": 0})) == tags_of(before)


def test_one_event_or_many_and_each_once(client: TestClient) -> None:
    one = event(tags=["Linen"])
    assert posted(client, EVENTS, one) == {"added": 1, "repeated": 0}
    assert posted(client, EVENTS, {"events": [one, event(tags=["亚麻"], idempotency_key="k")]}) == {"added": 1, "repeated": 1}
    held = client.get("/v1/users/u/export").json()
    assert [each["tags"] for each in held["events"]] == [["material/linen"]] * 2
    assert held["interests"]["material/linen"] > 0


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"type": "wave"}, "events[1].type", "unknown event type 'wave'"),
        ({"at": "2026-01-01T10:00:00"}, "events[1].at", "has no zone"),
        ({"at": "2126-01-01T10:00:00Z"}, "events[1].at", "future"),
        ({"at": "yesterday"}, "events[1].at", "is no time"),
        ({"at": "0001-01-01T00:00:00+23:00"}, "events[1].at", "outside the years 1 to 9999"),
        ({"tags": ["Velvet" * 100_000]}, "events[1].tags", "no tag 'VelvetVelvet"),
        ({"tags": ["Velvet"]}, "events[1].tags", "no tag 'Velvet'"),
        ({"tags": [], "product": "X9"}, "events[1].product", "'X9' is unknown"),
        ({"user": "u" * 10_000}, "events[1].user", "10,000 characters"),
        ({"user": 7}, "events[1].user", "string"),
        (
            {"colour": "red"},
            "events[1].colour",
            "unknown field 'events[1].colour'; use user, type, at, product, tags, idempotency_key",
        ),
    ],
)
def test_of_events_with_something_wrong_none_is_taken_in(
    client: TestClient, change: dict[str, Any], field: str, message: str
) -> None:
    error = posted(client, EVENTS, {"events": [event(tags=["Linen"]), {**event(tags=["Linen"]), **change}]}, 422)["error"]
    assert error["field"] == field
    assert message in error["message"]
    assert len(error["message"]) < 1_100
    assert client.get("/v1/users/u/export").json()["events"] == []


def test_a_single_event_is_told_what_is_wrong_with_it(client: TestClient) -> None:
    error = posted(client, EVENTS, {"user": "u", "type": "view", "tags": ["Linen"]}, 422)["error"]
    assert (error["field"], error["message"]) == ("at", "at: Field required")
    error = posted(client, EVENTS, event(type="wave"), 422)["error"]
    assert error["field"] == "type"


def test_too_many_events_are_413(client: TestClient) -> None:
    one = {"user": "u", "type": "view", "at": "2026-01-01T00:00:00Z", "tags": ["Linen"]}
    assert "at most 1,000" in posted(client, EVENTS, {"events": [one] * 1001}, 413)["error"]["message"]
    assert client.post(EVENTS, content=b'{"events": [' + b"{}," * 500_000 + b"{}]}").status_code == 413


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (EVENTS, b'{"events": [' + b"{}," * 300_000 + b"{}]}", "events[0].user"),
        (EVENTS, b'{"user": "u", "type": "view", "at": "2026-01-01T00:00:00Z", "tags": [' + b"1," * 400_000 + b"1]}", "tags[0]"),
        (LISTINGS, b'{"listings": [' + b"{}," * 300_000 + b"{}]}", "listings[0].id"),
        (FEEDBACK, b'{"suggestion": "x", "accepted": [' + b"1," * 400_000 + b"1]}", "accepted[0]"),
        (SUGGESTIONS, b'{"title": "x", "history": [' + b"{}," * 300_000 + b"{}]}", "history[0].type"),
        (SUGGESTIONS, b'{"title": "x", "rules": {"exclusions": [[' + b"1," * 400_000 + b"1]]}}", "rules.exclusions[0][0]"),
    ],
)
def test_of_a_body_of_wrong_parts_only_the_first_is_looked_at(client: TestClient, path: str, body: bytes, field: str) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["field"] == field
    more = re.search(r"and (\d+) more", error["message"])
    assert more is None or int(more[1]) <= 2  # of the first object's fields


@pytest.mark.parametrize("path", [EVENTS, SUGGESTIONS])
def test_thousands_of_fields_are_refused_together(client: TestClient, path: str) -> None:
    error = posted(client, path, {f"field-{number}": 1 for number in range(10_000)}, 422)["error"]
    assert "has 10,000 entries, at most 1,000 are allowed" in error["message"]
    attributes = {f"name {number}": "x" for number in range(2_000)}
    assert posted(client, LISTINGS, {"id": "S1", "attributes": attributes}, 422)["error"]["field"] == "attributes"


def test_nothing_to_take_in_is_fine(client: TestClient) -> None:
    assert posted(client, EVENTS, {"events": []}) == {"added": 0, "repeated": 0}
    assert posted(client, LISTINGS, {"listings": []})["stored"] == 0


def test_a_listing_comes_and_goes_and_lends_its_tags_to_events(client: TestClient) -> None:
    shirt = {"id": "shirts/S 42", "title": "Camp shirt", "attributes": {"fit": "relaxed"}, "tags": ["Linen", "夏季"]}
    assert posted(client, LISTINGS, shirt) == {"stored": 1, "remembered": 0, "notices": []}
    kept = client.get(f"{LISTINGS}/shirts/S%2042").json()
    assert kept == {**shirt, "description": "", "language": None, "tags": ["material/linen", "season/summer"], "in_stock": True}
    posted(client, EVENTS, event(product="shirts/S 42"))
    assert set(client.get("/v1/users/u/export").json()["interests"]) == {"material/linen", "season/summer"}
    assert client.delete(f"{LISTINGS}/shirts/S 42").status_code == 200
    for response in (client.get(f"{LISTINGS}/shirts/S 42"), client.delete(f"{LISTINGS}/shirts/S 42")):
        assert response.status_code == 404
        assert response.json()["error"]["type"] == "UnknownItem"


def test_of_listings_with_something_wrong_none_is_taken_in(client: TestClient) -> None:
    good = {"id": "S1", "title": "Shirt"}
    for wrong, field in (
        ({"id": "S2", "title": "Shirt", "tags": ["Velvet"]}, "listings[1].tags"),
        ({"id": "S2"}, "listings[1].title"),
        ({"id": "", "title": "Shirt"}, "listings[1].id"),
    ):
        assert posted(client, LISTINGS, {"listings": [good, wrong]}, 422)["error"]["field"] == field
    assert posted(client, LISTINGS, {"listings": [good] * 1001}, 413)["error"]["type"] == "BatchTooLong"
    assert client.get(f"{LISTINGS}/S1").status_code == 404


def test_a_suggestion_lends_its_tags_to_events_until_feedback_knows_better(client: TestClient) -> None:
    answer = posted(client, SUGGESTIONS, {"title": "Linen shirt", "product": "S1", "max_tags": 2})
    posted(client, EVENTS, event("u", product="S1"))
    assert set(client.get("/v1/users/u/export").json()["interests"]) == set(tags_of(answer))
    first = answer["tags"][0]["id"]
    added = next(id for id in ("category/shoes", "material/cotton", "season/summer") if id not in tags_of(answer))
    posted(client, FEEDBACK, {"suggestion": answer["id"], "accepted": [first], "added": [added]})
    posted(client, EVENTS, event("v", product="S1"))
    assert set(client.get("/v1/users/v/export").json()["interests"]) == {first, added}


def test_what_was_suggested_and_rejected_is_lent_to_nobody(client: TestClient) -> None:
    answer = posted(client, SUGGESTIONS, {"title": "Linen shirt", "product": "S1", "max_tags": 2})
    first, second = tags_of(answer)
    posted(client, FEEDBACK, {"suggestion": answer["id"], "rejected": [first]})
    posted(client, EVENTS, event("v", product="S1"))
    assert set(client.get("/v1/users/v/export").json()["interests"]) == {second}
    assert client.delete(f"{LISTINGS}/S1").status_code == 200  # it is in no catalogue, and what was learned of it goes
    assert client.delete(f"{LISTINGS}/S1").status_code == 404


def test_feedback_teaches_the_profile_of_the_user_and_replaces_what_was_said(client: TestClient) -> None:
    answer = posted(client, SUGGESTIONS, {"title": "Linen shirt", "max_tags": 2, "user": "u", "language": "en"})
    yes, no = tags_of(answer)
    for accepted, rejected in (([no], [yes]), ([yes], [no]), ([yes], [no])):
        posted(client, FEEDBACK, {"suggestion": answer["id"], "accepted": accepted, "rejected": rejected})
    held = client.get("/v1/users/u/export").json()
    assert held["interests"][yes] > 0 > held["interests"][no]
    assert [(e["type"], e["tags"]) for e in held["events"]] == [("accept", [yes]), ("reject", [no])]
    (kept,) = held["suggestions"]
    assert (kept["accepted"], kept["rejected"], kept["suggested"]) == ([yes], [no], [yes, no])
    assert (kept["title"], kept["language"]) == ("Linen shirt", "en")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "accepted"),
        ({"accepted": ["category/shoes"]}, "accepted"),
        ({"added": ["material/linen"]}, "added"),
        ({"accepted": ["material/linen"], "rejected": ["material/linen"]}, "rejected"),
        ({"accepted": ["Velvet"]}, "accepted"),
    ],
)
def test_feedback_that_does_not_fit_is_refused(client: TestClient, said: dict[str, Any], field: str) -> None:
    answer = posted(client, SUGGESTIONS, {"title": "x", "rules": {"only": ["material/linen"]}, "max_tags": 1, "min_tags": 1})
    assert posted(client, FEEDBACK, {"suggestion": answer["id"], **said}, 422)["error"]["field"] == field
    assert posted(client, FEEDBACK, {"suggestion": "none", "added": ["Shoes"]}, 404)["error"]["type"] == "UnknownItem"
    broken = client.post(
        FEEDBACK, content=b'{"suggestion": "\\ud800", "added": ["Shoes"]}', headers={"content-type": "application/json"}
    )
    assert (broken.status_code, broken.json()["error"]["field"]) == (422, "suggestion")


def test_what_is_added_or_corrected_is_remembered_at_once(suggester: Suggester, file: Path, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory", suggester.vocabulary)
    services = Services(suggester.over(suggester.engine, memory), shelf=Shelf(Store(f"sqlite:///{file}")))
    client = TestClient(create_app(services))
    shirt = {"id": "S1", "title": "Guayabera", "tags": ["Linen"]}
    assert posted(client, LISTINGS, shirt)["remembered"] == 1
    answer = posted(client, SUGGESTIONS, {"title": "Guayabera", "max_tags": 1})
    assert tags_of(answer) == ["material/linen"]
    posted(client, FEEDBACK, {"suggestion": answer["id"], "rejected": ["Linen"], "added": ["Cotton"]})
    assert {entry.tags for entry in memory.sample(9)} == {("material/linen",), ("material/cotton",)}
    own = posted(client, SUGGESTIONS, {"title": "A letter of my own", "max_tags": 1, "user": "u"})
    posted(client, FEEDBACK, {"suggestion": own["id"], "accepted": tags_of(own)})
    assert len(memory) == 2
    again = posted(client, SUGGESTIONS, {"title": "Guayabera", "max_tags": 1, "product": "S1"})
    posted(client, FEEDBACK, {"suggestion": again["id"], "rejected": tags_of(again), "added": ["Summer"]})
    known = {entry.id: set(entry.tags) for entry in memory.sample(9)}
    assert known["S1"] == {"material/linen", "season/summer"} - set(tags_of(again))
    client.delete(f"{LISTINGS}/S1")
    assert "S1" not in {entry.id for entry in memory.sample(9)}
    memory.close()
    services.shelf.close()


def test_tags_that_the_vocabulary_has_no_more_are_no_reason_to_refuse_feedback(
    suggester: Suggester, file: Path, tmp_path: Path
) -> None:
    memory = Memory(tmp_path / "memory", suggester.vocabulary)
    store = Store(f"sqlite:///{file}")
    client = TestClient(create_app(Services(suggester.over(suggester.engine, memory), shelf=Shelf(store))))
    store.put_products("default", [Product(Listing("Guayabera", id="S1"), ("old/tag", "material/linen"))])
    id = store.record("default", Listing("Guayabera", id="S1"), ["another/vocabulary", "material/cotton"])
    posted(client, FEEDBACK, {"suggestion": id, "accepted": ["another/vocabulary", "material/cotton"]})
    assert {entry.tags for entry in memory.sample(9)} == {("material/linen", "material/cotton")}
    assert store.suggestion("default", str(id)).suggested == ("another/vocabulary", "material/cotton")
    memory.close()
    store.close()


def test_a_product_that_feedback_alone_taught_can_be_deleted(suggester: Suggester, file: Path, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory", suggester.vocabulary)
    services = Services(suggester.over(suggester.engine, memory), shelf=Shelf(Store(f"sqlite:///{file}")))
    client = TestClient(create_app(services))
    answer = posted(client, SUGGESTIONS, {"title": "Guayabera", "max_tags": 1, "product": "P"})
    client.delete(f"{LISTINGS}/P")
    posted(client, FEEDBACK, {"suggestion": answer["id"], "accepted": tags_of(answer)})
    assert len(memory) == 1
    assert client.delete(f"{LISTINGS}/P").status_code == 200
    assert len(memory) == 0
    memory.close()
    services.shelf.close()


def test_a_suggestion_on_its_way_does_not_bring_a_deleted_user_back(suggester: Suggester, file: Path) -> None:
    store = Store(f"sqlite:///{file}")
    shelf = Shelf(store)

    async def scene() -> None:
        store.add_events("default", [UserEvent("u", Event("like", datetime.now(UTC), ("material/linen",)))])
        visit = Visit(shelf, "default", "u")
        request = await visit.begin(SuggestionRequest(Listing("Linen shirt"), max_tags=1, explain=False), suggester.vocabulary)
        answer = await suggester.suggest(request)
        store.remove_user("default", "u")
        answer, id = await visit.end(answer)
        assert id is None
        assert "the suggestion is not kept: the user was deleted meanwhile" in answer.notices
        assert store.remove_user("default", "u") == Purged()

    asyncio.run(scene())
    shelf.close()


def test_forgetting_a_user_leaves_nothing_of_them(client: TestClient, file: Path) -> None:
    name = "a-very-particular-user"
    fans(client, "Linen", user=name, count=100)
    fans(client, "Linen", user="another", count=3)
    answer = posted(client, SUGGESTIONS, {**PRESENT, "title": "A most peculiar listing", "user": name})
    posted(client, FEEDBACK, {"suggestion": answer["id"], "accepted": tags_of(answer)})
    gone = client.delete(f"/v1/users/{name}").json()
    assert gone == {"events": 101, "users": 1, "suggestions": 1}
    assert client.get(f"/v1/users/{name}/export").json() == {
        "user": name,
        "stored_as": name,
        "events": [],
        "interests": {},
        "suggestions": [],
    }
    assert client.delete(f"/v1/users/{name}").json() == {"events": 0, "users": 0, "suggestions": 0}
    with sqlite3.connect(file) as connection:
        tables = [table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        text = "\n".join(line for table in tables for line in map(str, connection.execute(f"SELECT * FROM {table}")))
    connection.close()
    assert name not in text
    assert "peculiar" not in text
    assert len(client.get("/v1/users/another/export").json()["events"]) == 3
    for left in file.parent.glob("store.db*"):
        assert name.encode() not in left.read_bytes()
        assert b"peculiar" not in left.read_bytes()


def test_with_a_key_nobodys_name_is_in_the_store(suggester: Suggester, file: Path) -> None:
    shelf = Shelf(Store(f"sqlite:///{file}", user_key="secret"))
    client = TestClient(create_app(Services(suggester, shelf=shelf)))
    fans(client, "Linen", user="a-very-particular-user", count=40)
    held = client.get("/v1/users/a-very-particular-user/export").json()
    assert len(held["events"]) == 40
    assert len(held["stored_as"]) == 64
    shelf.close()
    assert not any(b"a-very-particular-user" in left.read_bytes() for left in file.parent.glob("store.db*"))


def test_tenants_have_nothing_in_common(suggester: Suggester, file: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secrets = [add_key(keys, tenant)[1] for tenant in ("one", "two")]
    shelf = Shelf(Store(f"sqlite:///{file}"))
    app = create_app(Services(suggester, door=Doorkeeper(KeyFile(keys)), shelf=shelf))
    one, two = (TestClient(app, headers={"authorization": f"Bearer {secret}"}) for secret in secrets)
    liked = someone_elses(one)
    fans(one, liked)
    posted(one, LISTINGS, {"id": "S1", "title": "Shirt", "tags": ["Linen"]})
    kept = posted(one, SUGGESTIONS, {**PRESENT, "user": "u"})
    assert tags_of(kept) == [liked] != tags_of(posted(two, SUGGESTIONS, {**PRESENT, "user": "u"}))
    assert two.get("/v1/users/u/export").json()["interests"] == {}
    assert two.get(f"{LISTINGS}/S1").status_code == 404
    assert "unknown" in posted(two, EVENTS, event(product="S1"), 422)["error"]["message"]
    posted(two, FEEDBACK, {"suggestion": kept["id"], "accepted": tags_of(kept)}, 404)
    two.delete("/v1/users/u")
    assert len(one.get("/v1/users/u/export").json()["events"]) == 400
    assert TestClient(app).post(EVENTS, json=event(tags=["Linen"])).status_code == 401
    shelf.close()


def test_without_its_store_the_tagger_answers_and_says_what_it_lacks(suggester: Suggester, tmp_path: Path) -> None:
    shelf = Shelf(Store(f"sqlite:///{tmp_path / 'missing' / 'store.db'}"))
    client = TestClient(create_app(Services(suggester, shelf=shelf)))
    answer = posted(client, SUGGESTIONS, {**PRESENT, "user": "u"})
    assert len(answer["tags"]) == 1
    assert answer["id"] is None
    assert any("without the user's interests" in notice for notice in answer["notices"])
    for response in (client.post(EVENTS, json=event(tags=["Linen"])), client.delete("/v1/users/u"), client.get(f"{LISTINGS}/S1")):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["type"] == "StoreUnavailable"
    shelf.close()


def test_a_store_is_ready_before_anybody_asks(suggester: Suggester, file: Path, tmp_path: Path) -> None:
    for url in (f"sqlite:///{file}", f"sqlite:///{tmp_path / 'missing' / 'store.db'}"):
        shelf = Shelf(Store(url))
        asyncio.run(shelf.start())
        shelf.close()
    assert file.exists()
    asyncio.run(Shelf().start())


def test_a_server_that_keeps_nothing_says_so(suggester: Suggester) -> None:
    client = TestClient(create_app(Services(suggester)))
    assert posted(client, SUGGESTIONS, PRESENT)["notices"] == posted(client, SUGGESTIONS, PRESENT)["notices"]
    assert posted(client, SUGGESTIONS, PRESENT)["id"] is None
    assert "keeps nothing" in posted(client, EVENTS, event(tags=["Linen"]), 503)["error"]["message"]
    assert any("keeps nothing" in notice for notice in posted(client, SUGGESTIONS, {**PRESENT, "user": "u"})["notices"])

"""Recommendations, similar products and users' tags over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve.app import create_app
from serve.shelf import Shelf
from serve.state import Services
from serve.store import Store
from serve.suggester import Suggester

SHOP = [
    {"id": "S1", "title": "Linen shirt", "tags": ["material/linen", "category/shirts"]},
    {"id": "S2", "title": "Linen shoes", "tags": ["material/linen", "category/shoes"]},
    {"id": "S3", "title": "Cotton shirt", "tags": ["material/cotton", "category/shirts"]},
]


@pytest.fixture
def client(suggester: Suggester, tmp_path: Path) -> Iterator[TestClient]:
    """Without the lifespan, since the engine belongs to the session."""
    shelf = Shelf(Store(f"sqlite:///{tmp_path / 'store.db'}"))
    known = {tag.id for tag in suggester.vocabulary}
    made = TestClient(create_app(Services(suggester, shelf=shelf)), raise_server_exceptions=False)
    listings = [{**listing, "tags": [tag for tag in listing["tags"] if tag in known]} for listing in SHOP]
    assert all(listing["tags"] for listing in listings)
    assert made.post("/v1/listings", json={"listings": listings}).status_code == 200
    yield made
    shelf.close()


def did(client: TestClient, type: str, user: str = "ann", **more: Any) -> None:
    at = datetime.now(UTC) - timedelta(seconds=5)
    assert client.post("/v1/events", json={"user": user, "type": type, "at": at.isoformat(), **more}).status_code == 200


def got(client: TestClient, path: str, **query: Any) -> Any:
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_products_with_reasons_for_what_a_user_just_did(client: TestClient) -> None:
    did(client, "like", tags=["material/linen"])
    answer = got(client, "/v1/users/ann/recommendations", language="en")
    assert answer["basis"] == "interests"
    assert answer["notices"] == []
    assert {product["id"] for product in answer["products"]} == {"S1", "S2"}
    assert all(product["reasons"] == ["Linen"] for product in answer["products"])
    did(client, "purchase", product="S1")
    assert "S1" not in [product["id"] for product in got(client, "/v1/users/ann/recommendations")["products"]]
    again = got(client, "/v1/users/ann/recommendations", include_seen=True)
    assert "S1" in [product["id"] for product in again["products"]]


def test_a_new_user_is_told_that_it_is_what_others_want(client: TestClient) -> None:
    assert got(client, "/v1/users/new/recommendations") == {
        "basis": "nothing",
        "products": [],
        "notices": ["nothing is known of this user, and no product was asked for yet"],
    }


def test_what_is_in_demand_is_said_to_be(client: TestClient) -> None:
    did(client, "purchase", user="bob", product="S3")
    answer = got(client, "/v1/users/new/recommendations")
    assert (answer["basis"], [product["id"] for product in answer["products"]]) == ("trending", ["S3"])
    assert "what users asked for most in the last 30 days" in answer["notices"][0]
    assert answer["products"][0]["reasons"] == []


def test_similar_products_and_tags(client: TestClient) -> None:
    assert {product["id"] for product in got(client, "/v1/products/S1/similar")["products"]} == {"S2", "S3"}
    did(client, "like", tags=["material/linen"])
    (tag,) = got(client, "/v1/users/ann/tags", language="zh")["tags"]
    assert (tag["id"], tag["label"]) == ("material/linen", "亚麻")
    assert len(got(client, "/v1/users/ann/tags", product="S3")["tags"]) > 1


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        ("/v1/products/none/similar", {}, 404, "there is no listing 'none'"),
        ("/v1/users/ann/tags", {"product": "none"}, 404, "there is no listing 'none'"),
        ("/v1/users/ann/recommendations", {"diversity": 2}, 422, "less than or equal to 1"),
        ("/v1/users/ann/recommendations", {"count": 1000}, 422, "less than or equal to 100"),
        ("/v1/users/ann/recommendations", {"language": "fr"}, 422, "the vocabulary has no labels in 'fr'"),
        (f"/v1/users/{'x' * 10_000}/recommendations", {}, 422, "256"),
    ],
)
def test_what_can_not_be_asked_is_refused(
    client: TestClient, path: str, query: dict[str, Any], status: int, message: str
) -> None:
    response = client.get(path, params=query)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


def test_a_server_without_a_store_says_so(suggester: Suggester) -> None:
    answer = TestClient(create_app(Services(suggester))).get("/v1/users/ann/recommendations")
    assert answer.status_code == 503
    assert "HANGTAG_STORE" in answer.json()["error"]["message"]

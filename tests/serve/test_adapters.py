import asyncio
from pathlib import Path
from typing import Any

import pytest

from serve.assemble import assemble
from serve.auth import Doorkeeper
from serve.keys import KeyFile, add_key
from serve.state import Services
from tests.serve.asking import LISTING, PATH, asking, bearer, error_of
from tests.serve.bundles import another
from tests.tiny import suggester_with
from tests.walking import WalkingEngine

ADAPTERS = "/v1/adapters"


@pytest.fixture(scope="module")
def bundles(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundles")
    another(tiny_bundle, directory / "shop-1", name="shop", scale=30.0)
    another(tiny_bundle, directory / "shop-2", name="shop", version="2", scale=-30.0, tags=3)
    return directory


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, dict[str, str]]:
    """Headers by who sends them."""
    path = tmp_path / "keys.json"
    return {tenant: bearer(add_key(path, tenant, admin=tenant == "house")[1]) for tenant in ("house", "acme", "other")}


def with_keys(tiny_bundle: Path, bundles: Path, tmp_path: Path) -> Services:
    door = Doorkeeper(KeyFile(tmp_path / "keys.json"))
    return Services(suggester_with(WalkingEngine(), tiny_bundle), door=door, bundles=bundles)


def test_bundles_come_and_go_without_a_request_dropped(tiny_bundle: Path, bundles: Path) -> None:
    async def scene() -> None:
        async with asking(Services(assemble(tiny_bundle), bundles=bundles), timeout=60) as client:
            answers: list[tuple[int, str]] = []
            over = asyncio.Event()

            async def ask(**more: Any) -> None:
                while not over.is_set():
                    response = await client.post(PATH, json={**LISTING, **more})
                    answers.append((response.status_code, response.json().get("model", "")))

            askers = [asyncio.create_task(ask()) for _ in range(4)]
            for bundle in ("shop-1", "shop-2"):
                made = await client.post(ADAPTERS, json={"bundle": bundle, "default": True})
                assert made.status_code == 201
            assert made.json() == {
                "name": "shop@2",
                "vocabulary": made.json()["vocabulary"],
                "languages": ["en", "zh"],
                "default": True,
                "bundle": "shop-2",
                "tenants": [],
            }
            answered = await client.post(PATH, json={**LISTING, "max_tags": 3})
            assert (answered.json()["model"], answered.json()["vocabulary"]) == ("shop@2", made.json()["vocabulary"])
            back = await client.put(f"{ADAPTERS}/shop@1/default", json={})
            assert (back.status_code, back.json()["default"]) == (200, True)
            assert (await client.delete(f"{ADAPTERS}/shop@2")).status_code == 204
            assert (await client.post(PATH, json=LISTING)).json()["model"] == "shop@1"
            named = await client.post(PATH, json={**LISTING, "adapter": "tiny@1"})
            assert named.json()["model"] == "tiny@1"
            over.set()
            await asyncio.gather(*askers)
            assert {status for status, _ in answers} == {200}
            assert {model for _, model in answers} <= {"tiny@1", "shop@1", "shop@2"}

    asyncio.run(scene())


def test_adapters_need_an_admins_key_and_are_seen_by_their_tenants(
    tiny_bundle: Path, bundles: Path, tmp_path: Path, keys: dict[str, dict[str, str]]
) -> None:
    async def scene() -> None:
        async with asking(with_keys(tiny_bundle, bundles, tmp_path)) as client:
            load = {"bundle": "shop-1", "tenants": ["acme"], "default": True}
            for headers, status in (({}, 401), (bearer("ht_no"), 401), (keys["acme"], 403)):
                for response in (
                    await client.post(ADAPTERS, json=load, headers=headers),
                    await client.put(f"{ADAPTERS}/tiny@1/default", json={}, headers=headers),
                    await client.delete(f"{ADAPTERS}/tiny@1", headers=headers),
                    await client.get("/metrics", headers=headers),
                ):
                    assert response.status_code == status
                    assert error_of(response)["type"] == ("UnknownKey" if status == 401 else "NotAllowed")
                    assert ("www-authenticate" in response.headers) == (status == 401)
            assert (await client.post(ADAPTERS, json=load, headers=keys["house"])).status_code == 201

            listed = {name: (await client.get(ADAPTERS, headers=headers)).json()["adapters"] for name, headers in keys.items()}
            assert [adapter["name"] for adapter in listed["acme"]] == ["tiny@1", "shop@1"]
            assert [adapter["name"] for adapter in listed["other"]] == ["tiny@1"]
            assert [adapter["tenants"] for adapter in listed["house"]] == [[], ["acme"]]
            assert [adapter["tenants"] for adapter in listed["acme"]] == [None, None]
            assert [adapter["default"] for adapter in listed["acme"]] == [False, True]

            answers = {name: await client.post(PATH, json=LISTING, headers=headers) for name, headers in keys.items()}
            assert {name: answer.json()["model"] for name, answer in answers.items()} == {
                "house": "tiny@1",
                "acme": "shop@1",
                "other": "tiny@1",
            }
            for name in ("shop@1", "shop@9"):
                refused = await client.post(PATH, json={**LISTING, "adapter": name}, headers=keys["other"])
                assert (refused.status_code, error_of(refused)["field"]) == (404, "adapter")
            assert (await client.get(ADAPTERS)).status_code == 401
            assert (await client.post(PATH, json=LISTING)).status_code == 401

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "type"),
    [
        ("POST", "", {"bundle": "../shop-1"}, 422, "InvalidInput"),
        ("POST", "", {"bundle": "none"}, 422, "InvalidInput"),
        ("POST", "", {"bundle": "shop-1", "tenant": "a"}, 422, "InvalidRequest"),
        ("POST", "", {}, 422, "InvalidRequest"),
        ("PUT", "/shop@9/default", {}, 404, "UnknownAdapter"),
        ("DELETE", "/shop@9", None, 404, "UnknownAdapter"),
        ("DELETE", "/tiny@1", None, 409, "AdapterConflict"),
        ("DELETE", "/..%2F..%2Fshop@1", None, 404, ""),
    ],
)
def test_what_can_not_be_is_refused_in_the_form_of_all_errors(
    tiny_bundle: Path, bundles: Path, method: str, path: str, body: Any, status: int, type: str
) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle), bundles=bundles)) as client:
            response = await client.request(method, ADAPTERS + path, json=body)
            assert response.status_code == status
            assert error_of(response)["type"] == type or not type

    asyncio.run(scene())

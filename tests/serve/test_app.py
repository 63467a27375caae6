import asyncio
import http.client
import json
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive

from hangtag.errors import EngineError
from hangtag.listing import Listing
from serve import readiness
from serve.app import CLIENT_CLOSED_REQUEST, create_app
from serve.assemble import assemble
from serve.body_limit import MAX_BODY_BYTES
from serve.memory import Memory
from serve.schemas import CHINESE_EXAMPLE, ENGLISH_EXAMPLE
from serve.state import Services
from serve.suggester import Suggester, SuggestionRequest
from tests.tiny import CHINESE, FailingEngine, SilentEngine, suggester_with

PATH = "/v1/suggestions"
ERROR_KEYS = {"type", "message", "field"}


@pytest.fixture(scope="module")
def client(suggester: Suggester) -> TestClient:
    """Without the lifespan, since the engine belongs to the session."""
    return TestClient(create_app(Services(suggester)))


@pytest.fixture
def failing(tiny_bundle: Path) -> Iterator[TestClient]:
    engine = FailingEngine()
    with TestClient(create_app(Services(suggester_with(engine, tiny_bundle)))) as client:
        yield client
    assert engine.closed == 1


def error_of(response: Any) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == ERROR_KEYS
    error: dict[str, Any] = body["error"]
    return error


async def asgi_call(app: ASGIApp, receive: Receive) -> list[Message]:
    """What the app sends to a client that posts what `receive` gives."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await app(scope, receive, send)
    await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize("example", [ENGLISH_EXAMPLE, {**CHINESE_EXAMPLE, "history": []}])
def test_an_answer_has_the_documented_form(client: TestClient, suggester: Suggester, example: dict[str, Any]) -> None:
    response = client.post(PATH, json=example)
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"id", "tags", "explanation", "language", "model", "vocabulary", "calibrated", "promise", "notices"}
    for tag in body["tags"]:
        assert set(tag) == {"id", "label", "facet", "confidence", "auto", "interest"}
        assert tag["id"] in suggester.vocabulary
    assert body["vocabulary"] == {"name": "tiny", "hash": suggester.vocabulary.hash}
    assert body["explanation"]


def test_history_counts_by_label_and_by_id(client: TestClient) -> None:
    for name in ("Waterproof", "防水", "feature/waterproof"):
        events = [{"type": "purchase", "at": "2026-01-31T18:00:00Z", "tags": [name]}] * 2000
        response = client.post(PATH, json={"title": "A present", "history": events, "explain": False})
        assert response.json()["tags"][0]["id"] == "feature/waterproof"


@pytest.mark.parametrize(
    ("body", "type", "field", "message"),
    [
        ({}, "InvalidListing", "title", "the listing is empty"),
        ({"title": " \n "}, "InvalidListing", "title", "the listing is empty"),
        ({"title": "a\u0007b"}, "InvalidListing", "title", "control character U+0007 at offset 1"),
        ({"title": "a\ud800"}, "InvalidListing", "title", "control character U+D800 at offset 1"),
        ({"attributes": {"\ud800": "x"}}, "InvalidListing", "attributes[0]", "control character U+D800"),
        ({"title": "a", "\ud800": 1}, "InvalidRequest", None, ""),
        ({"title": "a", "language": "\ud800"}, "UnknownLanguage", "language", "use one of"),
        ({"title": "a", "attributes": {" ": "x"}}, "InvalidListing", "attributes[0]", "has no name"),
        ({"title": "a", "language": "fr"}, "UnknownLanguage", "language", "use one of: en, zh"),
        ({"title": "a", "min_tags": 3, "max_tags": 2}, "InvalidRules", "max_tags", "below min_tags"),
        ({"title": "a", "max_tags": 9}, "InvalidRules", "max_tags", "only 8 tags"),
        ({"title": "a", "max_tags": "five"}, "InvalidRequest", "max_tags", "valid integer"),
        ({"title": "a", "max_tags": True}, "InvalidRequest", "max_tags", "valid integer"),
        ({"title": 5}, "InvalidRequest", "title", "valid string"),
        ({"title": "a", "tags": []}, "InvalidRequest", "tags", "unknown field 'tags'; use title, description"),
        ({"title": "a", "attributes": {"size": 5}}, "InvalidRequest", "attributes.size", "valid string"),
        ({"title": "a", "history": [{"type": "like"}]}, "InvalidRequest", "history[0].at", "Field required"),
        ({"title": "a", "history": [{"type": "like", "at": "x"}]}, "InvalidHistory", "history[0].at", "'x' is no time"),
        (
            {"title": "a", "history": [{"type": "like", "at": "2026-01-31T18:00:00Z", "tags": ["silk"]}]},
            "InvalidHistory",
            "history[0].tags",
            "no tag 'silk'",
        ),
        ({"title": "a", "history": [{"type": "like", "at": "2999-01-31T18:00:00Z"}]}, "InvalidHistory", "at", "in the future"),
        ([], "InvalidRequest", None, "not a JSON object"),
    ],
)
def test_invalid_input_is_422_and_says_what_and_where(
    client: TestClient, body: Any, type: str, field: str | None, message: str
) -> None:
    response = client.post(PATH, content=json.dumps(body), headers={"content-type": "application/json"})
    assert response.status_code == 422
    error = error_of(response)
    assert (error["type"], error["field"]) == (type, field)
    assert message in error["message"]


@pytest.mark.parametrize("content", [b"{", b"", b'{"title": "\xff"}', b"[" * 100_000, b'{"max_tags": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_no_json_is_422(client: TestClient, content: bytes) -> None:
    response = client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert error_of(response)["type"] == "InvalidRequest"


def test_a_body_of_another_type_is_422(client: TestClient) -> None:
    response = client.post(PATH, content=b'{"title": "a"}', headers={"content-type": "text/plain"})
    assert response.status_code == 422
    assert "application/json" in error_of(response)["message"]


def test_a_listing_that_is_too_long_is_413(client: TestClient) -> None:
    response = client.post(PATH, json={"title": "a", "description": "x" * 100_000})
    assert response.status_code == 413
    error = error_of(response)
    assert (error["type"], error["field"]) == ("ListingTooLong", "description")
    assert "100,001 characters, at most 20,000" in error["message"]


def test_a_body_that_says_it_is_too_long_is_413(client: TestClient) -> None:
    response = client.post(PATH, json={"title": "x" * MAX_BODY_BYTES})
    assert response.status_code == 413
    assert "1,048,576 bytes" in error_of(response)["message"]


def test_a_streamed_body_that_grows_too_long_is_413_before_it_ends(suggester: Suggester) -> None:
    received = 0

    async def receive() -> Message:
        nonlocal received
        received += 65_536
        return {"type": "http.request", "body": b" " * 65_536, "more_body": True}

    start, body = asyncio.run(asgi_call(create_app(Services(suggester)), receive))
    assert start["status"] == 413
    assert json.loads(body["body"])["error"]["type"] == "BodyTooLong"
    assert received == MAX_BODY_BYTES + 65_536


def test_an_engine_that_fails_is_503(failing: TestClient) -> None:
    response = failing.post(PATH, json={"title": "Linen"})
    assert response.status_code == 503
    assert error_of(response) == {"type": "EngineError", "message": "out of memory; use a smaller batch", "field": None}


def test_a_memory_that_is_gone_is_503(suggester: Suggester, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory", suggester.vocabulary)
    memory.close()
    shutil.rmtree(tmp_path / "memory")
    client = TestClient(create_app(Services(suggester.over(suggester.engine, memory))))
    response = client.post(PATH, json={"title": "Linen"})
    assert response.status_code == 503
    assert error_of(response)["type"] == "InvalidMemory"
    assert "the index is gone" in error_of(response)["message"]


def test_a_failing_engine_is_alive_but_not_ready(failing: TestClient) -> None:
    assert failing.get("/healthz").json() == {"status": "alive", "reason": "", "troubles": []}
    response = failing.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "reason": "out of memory; use a smaller batch",
        "troubles": [],
    }


def test_an_engine_that_answers_is_ready(client: TestClient) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


def test_an_engine_that_is_silent_is_not_ready(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PROBE_SECONDS", 1.0)
    engine = SilentEngine()
    response = TestClient(create_app(Services(suggester_with(engine, tiny_bundle)))).get("/readyz")
    assert response.status_code == 503
    assert response.json()["reason"] == "the engine gave no answer in 1 seconds"
    assert engine.cancelled == 1


def test_a_client_that_goes_away_cancels_its_generation(tiny_bundle: Path) -> None:
    engine = SilentEngine()
    incoming: list[Message] = [{"type": "http.request", "body": b'{"title": "Linen"}', "more_body": False}]

    async def receive() -> Message:
        if incoming:
            return incoming.pop()
        while not engine.asked:
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    start, _ = asyncio.run(asgi_call(create_app(Services(suggester_with(engine, tiny_bundle))), receive))
    assert (engine.asked, engine.cancelled) == (1, 1)
    assert start["status"] == CLIENT_CLOSED_REQUEST


def test_unknown_paths_and_methods_have_the_same_form(client: TestClient) -> None:
    assert error_of(client.get("/v2"))["type"] == "NotFound"
    response = client.get(PATH)
    assert (response.status_code, error_of(response)["type"], response.headers["allow"]) == (405, "MethodNotAllowed", "POST")


def test_a_defect_is_500_and_tells_nothing(tiny_bundle: Path) -> None:
    class Broken(FailingEngine):
        async def generate(self, request: object) -> Any:
            raise ZeroDivisionError("secret")

    client = TestClient(create_app(Services(suggester_with(Broken(), tiny_bundle))), raise_server_exceptions=False)
    response = client.post(PATH, json={"title": "Linen"})
    assert response.status_code == 500
    assert error_of(response)["type"] == "InternalError"
    assert "secret" not in response.text


def test_no_text_of_a_listing_is_logged(client: TestClient, failing: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for title in ("Xylophonic linen", "Xylophonic\u0007", "Xylophonic" * 10_000):
        client.post(PATH, json={"title": title})
        failing.post(PATH, json={"title": title, "Xylophonic": 1})
    assert "POST /v1/suggestions 200" in caplog.text
    assert "Xylophonic" not in caplog.text


def test_the_documentation_has_examples_that_are_valid_and_every_error(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"][PATH]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert examples["chinese"]["value"]["title"] == CHINESE
    assert set(operation["responses"]) == {"200", "401", "413", "422", "429", "503", "504"}
    assert operation["responses"]["422"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
    assert document["components"]["schemas"]["AnswerBody"]["examples"]
    assert client.get("/docs").status_code == 200


def test_the_starter_vocabulary_knows_the_tags_of_the_examples() -> None:
    from hangtag.formats import read_vocabulary
    from hangtag.lookup import tag_named
    from serve.settings import DEFAULT_BUNDLE

    vocabulary = read_vocabulary(DEFAULT_BUNDLE / "vocabulary.csv")
    for event in CHINESE_EXAMPLE["history"]:
        assert [tag_named(tag, vocabulary) for tag in event["tags"]]


@contextmanager
def served(app: FastAPI) -> Iterator[http.client.HTTPConnection]:
    """A connection to the app behind a real server in a thread, which is stopped at the end."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
    try:
        yield connection
    finally:
        connection.close()
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
    assert not thread.is_alive()


def post(connection: http.client.HTTPConnection, title: str) -> None:
    connection.request("POST", PATH, json.dumps({"title": title}), {"content-type": "application/json"})


def test_a_real_server_answers_and_closes_its_engine(tiny_bundle: Path) -> None:
    suggester = assemble(tiny_bundle)
    with served(create_app(Services(suggester))) as connection:
        post(connection, CHINESE)
        assert json.loads(connection.getresponse().read())["language"] == "zh"
    with pytest.raises(EngineError, match="closed"):
        asyncio.run(suggester.suggest(SuggestionRequest(Listing(title="Linen"))))


def test_a_real_client_that_goes_away_cancels_its_generation(tiny_bundle: Path) -> None:
    engine = SilentEngine()
    with served(create_app(Services(suggester_with(engine, tiny_bundle)))) as connection:
        post(connection, "Linen")
        wait_for(lambda: engine.asked == 1)
        connection.close()
        wait_for(lambda: engine.cancelled == 1)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

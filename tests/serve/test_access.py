import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serve.logs import configure_logs
from serve.state import Services
from serve.tracing import Tracing
from tests.serve.asking import LISTING, PATH, asking
from tests.tiny import suggester_with
from tests.walking import WalkingEngine


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


def test_an_answer_has_the_id_of_its_request(tiny_bundle: Path) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle))) as client:
            given = await client.get("/healthz", headers={"x-request-id": "order-7001.a"})
            assert given.headers["x-request-id"] == "order-7001.a"
            made = [
                (await client.get("/healthz", headers={"x-request-id": wrong})).headers["x-request-id"]
                for wrong in ("", "a" * 65, "a b", '"', "a{}")
            ]
            assert len(set(made)) == 5
            assert all(len(identifier) == 16 for identifier in made)
            assert (await client.get("/nowhere")).headers["x-request-id"]

    asyncio.run(scene())


@pytest.mark.usefixtures("_logs_as_before")
def test_a_line_of_json_says_what_happened_and_nothing_that_anybody_wrote(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json")

    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle))) as client:
            await client.post(PATH, json={"title": "Xylophonic"}, headers={"x-request-id": "one"})
            await client.post(PATH, json={"title": "Xylophonic\u0007", "user": "Xylophonic"})
            await client.get("/v1/users/Xylophonic/export?name=Xylophonic")
            await client.get("/Xylophonic?name=Xylophonic")

    asyncio.run(scene())
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert not any("Xylophonic" in json.dumps(line) for line in lines)
    accesses = [line for line in lines if line["logger"] == "hangtag.access"]
    first, second, *_, last = accesses
    assert (first["route"], first["status"], first["tenant"], first["request_id"]) == (f"POST {PATH}", 200, "default", "one")
    assert (first["level"], first["ms"] >= 0) == ("INFO", True)
    assert (second["status"], last["route"], last["status"]) == (422, "GET nowhere", 404)
    assert any(line["logger"] == "hangtag.serve" and line["request_id"] == second["request_id"] for line in lines)


@pytest.mark.usefixtures("_logs_as_before")
def test_lines_for_people(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text")

    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle))) as client:
            await client.get("/healthz")

    asyncio.run(scene())
    assert "INFO hangtag.access: GET /healthz 200" in capsys.readouterr().err


def test_a_trace_has_the_route_the_model_and_no_text(tiny_bundle: Path) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    closed: list[bool] = []
    tracing = Tracing(provider.get_tracer("test"), lambda: closed.append(True))

    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle), tracing=tracing)) as client:
            trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
            assert (await client.post(PATH, json=LISTING, headers=trace)).status_code == 200
            assert (await client.post(f"{PATH}?stream=true", json=LISTING)).status_code == 200
            assert (await client.post(PATH, json={"title": "Xylophonic\u0007"})).status_code == 422

    asyncio.run(scene())
    finished = spans.get_finished_spans()
    asked, request, *_ = finished
    assert (asked.name, request.name) == ("suggest", f"POST {PATH}")
    assert asked.parent is not None
    assert asked.parent.span_id == request.context.span_id
    assert f"{request.context.trace_id:x}" == "a" * 32
    assert asked.attributes is not None
    assert asked.attributes["hangtag.model"] == "tiny@1"
    assert [span.attributes["http.response.status_code"] for span in finished if span.attributes and span.name != "suggest"] == [
        200,
        200,
        422,
    ]
    assert "Xylophonic" not in "".join(span.to_json() for span in finished)
    assert closed == [True]

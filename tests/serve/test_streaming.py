import asyncio
from pathlib import Path

import httpx
import pytest

from serve import streaming
from serve.app import create_app
from serve.state import Services
from tests.serve.asking import LISTING, PATH, asking, error_of, events_of, served, until, wait_for
from tests.tiny import suggester_with
from tests.walking import WalkingEngine

STREAM = f"{PATH}?stream=true"


def test_tags_come_as_events_and_then_the_answer(tiny_bundle: Path) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(), tiny_bundle))) as client:
            response = await client.post(STREAM, json=LISTING)
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            *tags, (name, answer) = events_of(response.text)
            assert name == "answer"
            assert tags == [("tag", tag) for tag in answer["tags"]]
            assert len(tags) == 2
            whole = (await client.post(PATH, json=LISTING)).json()
            assert {**answer, "id": None} == {**whole, "id": None}

    asyncio.run(scene())


def test_what_is_wrong_before_the_first_event_has_a_status(tiny_bundle: Path) -> None:
    async def scene() -> None:
        async with asking(Services(suggester_with(WalkingEngine(fails_after=0), tiny_bundle))) as client:
            for body, status, type in (({"title": ""}, 422, "InvalidListing"), (LISTING, 503, "EngineError")):
                response = await client.post(STREAM, json=body)
                assert (response.status_code, error_of(response)["type"]) == (status, type)

    asyncio.run(scene())


def test_what_goes_wrong_later_is_an_event(tiny_bundle: Path) -> None:
    class Defective(WalkingEngine):
        async def stream(self, request):  # type: ignore[no-untyped-def]
            async for piece in super().stream(request):
                yield piece
                if request.codec.separator_id in piece.ids:
                    raise ZeroDivisionError("secret")

    async def scene() -> None:
        engine = WalkingEngine()
        async with asking(Services(suggester_with(engine, tiny_bundle))) as client:
            await client.post(PATH, json=LISTING)
            request = engine.requests[-1]
            engine.fails_after = (await engine.generate(request)).ids.index(request.codec.separator_id) + 1
            events = events_of((await client.post(STREAM, json=LISTING)).text)
            assert [name for name, _ in events] == ["tag", "error"]
            assert events[-1][1]["error"]["type"] == "EngineError"
        async with asking(Services(suggester_with(Defective(), tiny_bundle))) as client:
            response = await client.post(STREAM, json=LISTING)
            assert [name for name, _ in events_of(response.text)] == ["tag", "error"]
            assert "secret" not in response.text

    asyncio.run(scene())


def test_a_tag_is_sent_before_the_next_is_decided(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE", 0.02)
    engine = Steps(1)
    with (
        served(create_app(Services(suggester_with(engine, tiny_bundle)))) as (_, address),
        httpx.stream("POST", address + STREAM, json=LISTING, timeout=10) as response,
    ):
        chunks = response.iter_text()
        assert [name for name, _ in events_of(next(chunks))] == ["tag"]
        assert next(chunks) == ": ping\n\n"
        for _ in range(3):
            engine.step()
        rest = events_of("".join(chunks))
    assert [name for name, _ in rest] == ["tag", "answer"]


class Steps(WalkingEngine):
    """Goes as far as the end of a tag, or of the answer, with every step that it is told to take."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def step(self) -> None:
        self.steps += 1

    async def stream(self, request):  # type: ignore[no-untyped-def]
        taken, is_at_end = 0, True
        async for piece in super().stream(request):
            if is_at_end:
                while self.steps <= taken:
                    await asyncio.sleep(0.001)
                taken += 1
            is_at_end = request.codec.separator_id in piece.ids
            yield piece


def test_a_client_that_leaves_a_stream_stops_its_work(tiny_bundle: Path) -> None:
    engine = Steps(1)
    with served(create_app(Services(suggester_with(engine, tiny_bundle)))) as (_, address):
        with httpx.stream("POST", address + STREAM, json=LISTING, timeout=10) as response:
            assert next(response.iter_lines()) == "event: tag"
        wait_for(lambda: engine.cancelled == 1)
    assert engine.running == 0


def test_a_client_that_leaves_before_the_first_event_stops_its_work(tiny_bundle: Path) -> None:
    engine = WalkingEngine(is_open=False)
    with served(create_app(Services(suggester_with(engine, tiny_bundle)))) as (_, address):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(address + STREAM, json=LISTING, timeout=0.2)
        wait_for(lambda: engine.cancelled == 1)


def test_a_stream_waits_its_turn_and_has_its_deadline(tiny_bundle: Path) -> None:
    async def scene() -> None:
        engine = WalkingEngine(is_open=False)
        async with asking(Services(suggester_with(engine, tiny_bundle))) as client:
            response = await client.post(STREAM, json={**LISTING, "timeout": 0.05})
            assert (response.status_code, error_of(response)["type"]) == (504, "DeadlineExceeded")
            await until(lambda: engine.running == 0)

    asyncio.run(scene())

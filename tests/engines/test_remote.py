"""The remote engine over fake servers: what it takes for an answer, whom it leaves out and why, and when it tries another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hangtag.answer import AnswerCodec
from hangtag.bundle import Bundle
from hangtag.errors import EngineError, InvalidBundle, InvalidInput, InvalidRules, InvalidSettings
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from serve.engines.engine import Generation, GenerationRequest
from serve.engines.remote import RemoteEngine
from tests.engines.fake_vllm import FakeVllm

Connect = Callable[..., RemoteEngine]
RULES = AnswerRules(min_tags=2, max_tags=3, max_explanation_tokens=16)


def request(codec: AnswerCodec, text: str = "linen shirt", **others: Any) -> GenerationRequest:
    return GenerationRequest(tuple(codec.tokenizer.encode(text)), codec, RULES, quotable=(text,), **others)


def generate(engine: RemoteEngine, *requests: GenerationRequest) -> list[Generation]:
    async def all_of_them() -> list[Generation]:
        return list(await asyncio.gather(*map(engine.generate, requests)))

    return asyncio.run(all_of_them())


def test_an_answer_is_the_servers(codec: AnswerCodec, connect: Connect) -> None:
    engine = connect(FakeVllm([codec]))
    for text in ("linen shirt", "wool", "cotton shoes"):
        (generation,) = generate(engine, request(codec, text))
        assert 2 <= len(codec.read(generation.ids).tags) <= 3
        assert len(generation.ids) == len(generation.logprobs)
    assert engine.troubles() == ()


@pytest.mark.parametrize(("told", "cached"), [(True, 1), (False, None)])
def test_how_much_was_cached_is_known_where_the_server_tells(
    codec: AnswerCodec, connect: Connect, told: bool, cached: int | None
) -> None:
    (generation,) = generate(connect(FakeVllm([codec], tells_cached=told)), request(codec))
    assert generation.cached == cached


def test_pieces_are_the_answer(codec: AnswerCodec, connect: Connect) -> None:
    engine = connect(FakeVllm([codec]))

    async def pieces() -> list[Generation]:
        return [piece async for piece in engine.stream(request(codec))]

    (whole,) = generate(engine, request(codec))
    streamed = asyncio.run(pieces())
    assert len(streamed) == len(whole.ids)
    assert tuple(token for piece in streamed for token in piece.ids) == whole.ids


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"masks": False}, "does not keep answers within the vocabulary"),
        ({"prior_counts": 2}, "is hangtag's logits processor loaded twice"),
        ({"prior_counts": 0}, "moved two tags apart by"),
        ({"processed_logprobs": False}, "--logprobs-mode processed_logprobs"),
        ({"context": 256}, "--max-model-len 512"),
        ({"is_well": False}, "it says 503"),
        ({"codecs": []}, "there is no such compiled vocabulary"),
        ({"status": 500}, "it says 500: out of memory"),
    ],
)
def test_a_server_that_is_not_what_it_should_be_is_not_used(
    codec: AnswerCodec, connect: Connect, fault: dict[str, Any], reason: str
) -> None:
    bad, good = replace(FakeVllm([codec]), **fault), FakeVllm([codec])
    engine = connect(bad, good)
    generate(engine, *(request(codec, text * 3) for text in ("linen", "wool", "shoes", "shirt", "cotton")))
    (trouble,) = engine.troubles()
    assert trouble.startswith("http://0 is not used")
    assert reason in trouble
    answers = [body for body in bad.asked if '"only": null' in body["vllm_xargs"]["hangtag_rules"]]
    assert not answers, "it was asked for more than the canary"
    with pytest.raises(EngineError, match="no server can answer") as raised:
        generate(connect(replace(FakeVllm([codec]), **fault)), request(codec))
    assert reason in str(raised.value)


def test_the_requests_are_what_vllm_takes_from_no_configuration(codec: AnswerCodec, connect: Connect) -> None:
    server = FakeVllm([codec])
    generate(connect(server), request(codec, prior=TagPrior({1: 2.0}), cache_salt="tenant"))
    sent = server.asked[-1]
    assert (sent["temperature"], sent["repetition_penalty"], sent["presence_penalty"], sent["frequency_penalty"]) == (0, 1, 0, 0)
    assert sent["prompt"] == codec.tokenizer.encode("linen shirt")
    assert sent["cache_salt"] == "tenant"


def test_another_server_takes_over_where_one_fails(codec: AnswerCodec, connect: Connect) -> None:
    servers = [FakeVllm([codec]) for _ in range(3)]
    engine = connect(*servers)
    requests = [request(codec, f"{text} {text}") for text in ("linen", "wool", "shoes", "shirt", "cotton", "linen shirt")]
    before = generate(engine, *requests)
    servers[0].status = 500
    for _ in range(3):
        assert generate(engine, *requests) == before
    assert any("out of memory" in trouble for trouble in engine.troubles())
    asked = len(servers[0].asked)
    generate(engine, *requests)
    assert len(servers[0].asked) == asked, "it is asked though it failed three times in a row"


def test_an_answer_outside_the_vocabulary_is_never_passed_on(codec: AnswerCodec, connect: Connect) -> None:
    servers = [FakeVllm([codec]), FakeVllm([codec])]
    engine = connect(*servers)
    requests = [request(codec, f"{text} {text}") for text in ("linen", "wool", "shoes", "shirt", "cotton", "linen shirt")]
    before = generate(engine, *requests)
    servers[0].masks = False  # started anew without the processor, between two looks
    assert generate(engine, *requests) == before
    assert "it gave an answer that is none" in engine.troubles()[0]
    servers[1].masks = False
    with pytest.raises(EngineError, match="no server can answer"):
        generate(engine, *requests)


def test_a_server_comes_back_once_it_is_proven_again(codec: AnswerCodec, connect: Connect) -> None:
    server = FakeVllm([codec], is_well=False)
    engine = connect(server, check_seconds=0.01)
    with pytest.raises(EngineError, match="http://0 is not used: it says 503"):
        generate(engine, request(codec))

    async def until_used() -> None:
        while engine.troubles():
            await asyncio.sleep(0.01)

    server.is_well, server.masks = True, False
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(until_used(), 2.0))
    server.masks = True
    asyncio.run(asyncio.wait_for(until_used(), 30))
    generate(engine, request(codec))


def test_a_stream_that_broke_off_is_not_begun_again(codec: AnswerCodec, connect: Connect) -> None:
    servers = [FakeVllm([codec]), FakeVllm([codec])]
    engine = connect(*servers)
    generate(engine, request(codec))
    for server in servers:
        server.breaks_after = 2

    heard: list[Generation] = []

    async def listen() -> None:
        async for piece in engine.stream(request(codec)):
            heard.append(piece)

    with pytest.raises(EngineError, match="the answer broke off"):
        asyncio.run(listen())
    assert len(heard) == 2


def test_a_caller_that_goes_away_is_heard_by_the_server(codec: AnswerCodec, connect: Connect) -> None:
    server = FakeVllm([codec])
    engine = connect(server)
    generate(engine, request(codec))

    async def cancel(streaming: bool) -> None:
        server.hold = asyncio.Event()
        asked = len(server.asked)

        async def listen() -> None:
            if streaming:
                async with aclosing(engine.stream(request(codec))) as pieces:
                    async for _ in pieces:
                        pass
            else:
                await engine.generate(request(codec))

        task = asyncio.create_task(listen())
        while len(server.asked) == asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not server.cancelled:
            await asyncio.sleep(0.01)
        server.cancelled, server.hold = 0, None

    asyncio.run(asyncio.wait_for(cancel(False), 10))
    asyncio.run(asyncio.wait_for(cancel(True), 10))
    generate(engine, request(codec))
    assert engine.troubles() == ()


def test_what_a_caller_did_wrong_is_no_servers_failure(codec: AnswerCodec, connect: Connect) -> None:
    server = FakeVllm([codec])
    engine = connect(server)
    with pytest.raises(InvalidInput, match="more than the engine's context of 512"):
        generate(engine, request(codec, "a" * 600))
    with pytest.raises(InvalidRules):
        generate(engine, replace(request(codec), rules=AnswerRules(max_tags=7)))
    with pytest.raises(InvalidInput, match="there is no adapter 'summer'; loaded: none"):
        generate(engine, request(codec, adapter="summer"))
    assert engine.troubles() == ()


def test_adapters_are_on_every_server_under_a_name_of_their_files(codec: AnswerCodec, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    servers = [FakeVllm([codec]), FakeVllm([codec])]
    engine = connect(*servers)

    async def use() -> None:
        await engine.load_adapter("summer@1", tmp_path)
        await engine.generate(request(codec, adapter="summer@1"))
        with pytest.raises(InvalidInput, match="every version of an adapter needs a name of its own"):
            await engine.load_adapter("summer@1", tmp_path)
        (name,) = servers[0].adapters
        assert name.startswith("summer@1:")
        assert servers[0].adapters == servers[1].adapters == {name: str(tmp_path)}
        assert {body["model"] for body in servers[0].asked + servers[1].asked} == {"base", name}
        await engine.unload_adapter("summer@1")
        assert servers[0].adapters == servers[1].adapters == {}
        with pytest.raises(InvalidInput, match="there is no adapter"):
            await engine.generate(request(codec, adapter="summer@1"))

    asyncio.run(use())


def test_adapters_that_no_server_loads(codec: AnswerCodec, connect: Connect, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    engine = connect(FakeVllm([codec]))
    with pytest.raises(InvalidBundle, match="shapes do not fit"):
        asyncio.run(engine.load_adapter("other", other))
    with pytest.raises(InvalidBundle, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        asyncio.run(connect(FakeVllm([codec], takes_adapters=False)).load_adapter("other", other))
    with pytest.raises(EngineError, match="no server is there"):
        asyncio.run(connect(None).load_adapter("other", other))


def test_a_server_that_comes_later_is_given_the_adapters(codec: AnswerCodec, connect: Connect, tmp_path: Path) -> None:
    late = FakeVllm([codec], is_well=False)
    engine = connect(FakeVllm([codec]), late, check_seconds=0.01)
    asyncio.run(engine.load_adapter("summer", tmp_path))
    assert not late.adapters
    late.is_well = True

    async def until_loaded() -> None:
        while engine.troubles():
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_loaded(), 30))
    assert list(late.adapters.values()) == [str(tmp_path)]


def test_adapters_that_come_and_go_while_a_server_is_looked_at(codec: AnswerCodec, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "adapter_config.json").write_text("{}")
    late = FakeVllm([codec], is_well=False)
    engine = connect(FakeVllm([codec]), late, check_seconds=0.01)

    async def scene() -> None:
        await engine.generate(request(codec))
        await engine.load_adapter("old", tmp_path / "old")
        late.hold = asyncio.Event()
        late.is_well = True
        while not late.asked:  # it has the old adapter, and is being proven
            await asyncio.sleep(0.01)
        await engine.load_adapter("new", tmp_path / "new")
        await engine.unload_adapter("old")
        late.let_go()
        while engine.troubles() or len(late.adapters) != 1:
            await asyncio.sleep(0.01)
        assert list(late.adapters.values()) == [str(tmp_path / "new")]

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_a_server_that_is_silent_says_nothing_of_an_adapter(codec: AnswerCodec, connect: Connect, tmp_path: Path) -> None:
    server = FakeVllm([codec])
    engine = connect(server)
    generate(engine, request(codec))
    server.is_there = False
    with pytest.raises(EngineError, match=r"http://0: it can't load the adapter .* it can't be reached"):
        asyncio.run(engine.load_adapter("summer", tmp_path))
    server.is_there = True
    asyncio.run(engine.load_adapter("summer", tmp_path))


def test_a_server_that_hangs_is_left_out(codec: AnswerCodec, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeVllm([codec])
    engine = connect(server)
    generate(engine, request(codec))

    async def give_up() -> None:
        server.hold = server.hold or asyncio.Event()
        heard = server.cancelled
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.generate(request(codec)), 0.1)
        while server.cancelled == heard:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the engine's own loop hears of it a moment later

    asyncio.run(give_up())  # callers have patience of their own: that says nothing of the server
    monkeypatch.setattr("serve.engines.remote.PATIENCE", 0.05)
    for _ in range(3):
        assert engine.troubles() == ()
        asyncio.run(give_up())
    assert "it gave no answer in 0.05 seconds (3 failures in a row)" in engine.troubles()[0]


def test_metrics_say_which_server_they_are_of(codec: AnswerCodec, connect: Connect) -> None:
    engine = connect(FakeVllm([codec]), None, FakeVllm([codec]))
    text = asyncio.run(engine.metrics())
    assert text.count("# TYPE vllm:num_requests_running gauge") == 1
    assert 'vllm:num_requests_running{server="http://0",engine="0"} 2.0\n' in text
    assert 'vllm:num_requests_running{server="http://2",engine="0"} 2.0\n' in text
    assert 'plain{server="http://2"} 1\n' in text


def test_a_closed_engine_says_so(codec: AnswerCodec, connect: Connect) -> None:
    server = FakeVllm([codec])
    engine = connect(server)
    generate(engine, request(codec))

    async def close() -> None:
        server.hold = asyncio.Event()
        asked = len(server.asked)
        running = asyncio.create_task(engine.generate(request(codec)))
        while len(server.asked) == asked:
            await asyncio.sleep(0.01)
        await engine.close()
        with pytest.raises(EngineError, match="the engine is closed"):
            await running
        with pytest.raises(EngineError, match="the engine is closed"):
            await engine.generate(request(codec))

    asyncio.run(close())


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([], "the engine remote needs servers"),
        (["localhost:8000"], "is no address of a server"),
        (["http://host:abc"], "is no address of a server"),
        (["http://host:99999"], "is no address of a server"),
        (["http://[::1"], "is no address of a server"),
        (["http://user:secret@host:1"], "^one of them is no address .*HANGTAG_SERVER_KEY$"),
        (["http://user:secret@[::1"], "^one of them is no address"),
        (["http://a:1", "http://a:1/"], "named twice"),
    ],
)
def test_addresses_that_are_none(tiny_bundle: Path, servers: list[str], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        RemoteEngine.connect(Bundle.load(tiny_bundle), servers)

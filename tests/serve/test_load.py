import asyncio
import threading
from pathlib import Path

import httpx
import pytest

from serve.admission import Admission
from serve.app import create_app
from serve.auth import Doorkeeper
from serve.keys import KeyFile, add_key
from serve.state import Services
from tests.serve.asking import LISTING, PATH, asking, bearer, error_of, served, until, wait_for
from tests.tiny import suggester_with
from tests.walking import WalkingEngine


def test_beyond_the_queue_callers_are_told_when_to_come_again(tiny_bundle: Path) -> None:
    async def scene() -> None:
        engine = WalkingEngine(is_open=False)
        services = Services(suggester_with(engine, tiny_bundle), admission=Admission(running=2, waiting=3))
        async with asking(services, timeout=30) as client:
            tasks = [asyncio.create_task(client.post(PATH, json=LISTING)) for _ in range(5)]
            await until(lambda: engine.running == 2 and services.desk.admission.waiting == 3)
            refused = await client.post(PATH, json=LISTING)
            assert (refused.status_code, error_of(refused)["type"]) == (429, "Overloaded")
            assert int(refused.headers["retry-after"]) >= 1
            assert (await client.get("/healthz")).status_code == 200
            engine.gate.set()
            assert [response.status_code for response in await asyncio.gather(*tasks)] == [200] * 5
            assert (await client.post(PATH, json=LISTING)).status_code == 200
        assert engine.closed == 1

    asyncio.run(scene())


def test_a_tenant_with_much_to_ask_does_not_hold_up_another(tiny_bundle: Path, tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "keys.json"
        busy, other = (bearer(add_key(path, tenant)[1]) for tenant in ("busy", "other"))
        engine = WalkingEngine(is_open=False)
        services = Services(
            suggester_with(engine, tiny_bundle), door=Doorkeeper(KeyFile(path)), admission=Admission(running=1, waiting=99)
        )
        order: list[str] = []

        async def ask(client: httpx.AsyncClient, headers: dict[str, str], name: str) -> None:
            assert (await client.post(PATH, json=LISTING, headers=headers)).status_code == 200
            order.append(name)

        async with asking(services, timeout=30) as client:
            tasks = [asyncio.create_task(ask(client, busy, "busy")) for _ in range(6)]
            await until(lambda: services.desk.admission.waiting == 5)
            tasks.append(asyncio.create_task(ask(client, other, "other")))
            await until(lambda: services.desk.admission.waiting == 6)
            engine.gate.set()
            await asyncio.gather(*tasks)
        assert order.index("other") <= 2

    asyncio.run(scene())


def test_an_answer_that_takes_too_long_is_stopped(tiny_bundle: Path) -> None:
    async def scene() -> None:
        engine = WalkingEngine(is_open=False)
        async with asking(Services(suggester_with(engine, tiny_bundle), deadline=0.5)) as client:
            for timeout in (None, 0.2, 1e9):
                response = await client.post(PATH, json={**LISTING, "timeout": timeout})
                assert (response.status_code, error_of(response)["type"]) == (504, "DeadlineExceeded")
                seconds = min(timeout or 0.5, 0.5)
                assert f"within {seconds:g} seconds" in error_of(response)["message"]
            assert engine.running == 0
            for timeout in (0, -1, "1", float("nan")):
                content = '{"title": "a", "timeout": %s}' % ('"1"' if timeout == "1" else timeout)
                response = await client.post(PATH, content=content, headers={"content-type": "application/json"})
                assert (response.status_code, error_of(response)["field"]) == (422, "timeout" if timeout == timeout else None)

    asyncio.run(scene())


def test_time_in_the_queue_counts(tiny_bundle: Path) -> None:
    async def scene() -> None:
        engine = WalkingEngine(is_open=False)
        services = Services(suggester_with(engine, tiny_bundle), admission=Admission(running=1, waiting=9))
        async with asking(services, timeout=30) as client:
            first = asyncio.create_task(client.post(PATH, json=LISTING))
            await until(lambda: engine.running == 1)
            assert (await client.post(PATH, json={**LISTING, "timeout": 0.05})).status_code == 504
            assert services.desk.admission.waiting == 0
            engine.gate.set()
            assert (await first).status_code == 200

    asyncio.run(scene())


def test_a_server_that_is_stopped_finishes_what_it_took(tiny_bundle: Path) -> None:
    engine = WalkingEngine(is_open=False)
    services = Services(suggester_with(engine, tiny_bundle), admission=Admission(running=2, waiting=9))
    answers: list[int] = []
    with served(create_app(services), timeout_graceful_shutdown=20) as (server, address):
        callers = [
            threading.Thread(target=lambda: answers.append(httpx.post(address + PATH, json=LISTING, timeout=20).status_code))
            for _ in range(5)
        ]
        for caller in callers:
            caller.start()
        wait_for(lambda: services.desk.admission.waiting == 3)
        server.should_exit = True
        wait_for(lambda: refuses(address))
        engine.gate.set()
        for caller in callers:
            caller.join()
        assert engine.closed in (0, 1)
    assert answers == [200] * 5
    assert engine.closed == 1


def refuses(address: str) -> bool:
    try:
        httpx.get(address + "/healthz", timeout=5)
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("stream", ["", "?stream=true"])
def test_a_caller_who_goes_away_gives_the_turn_back(tiny_bundle: Path, stream: str) -> None:
    engine = WalkingEngine(is_open=False)
    services = Services(suggester_with(engine, tiny_bundle), admission=Admission(running=1, waiting=9))
    with served(create_app(services)) as (_, address):
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(address + PATH + stream, json=LISTING, timeout=0.3)
        wait_for(lambda: services.desk.admission.running == 0)
        assert services.desk.admission.waiting == 0
        engine.gate.set()
        assert httpx.post(address + PATH + stream, json=LISTING, timeout=10).status_code == 200

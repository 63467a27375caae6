import asyncio
from pathlib import Path

import httpx
import pytest

from serve.app import create_app
from serve.loopback import is_loopback
from serve.state import Services
from tests.serve.asking import LISTING, PATH
from tests.tiny import suggester_with
from tests.walking import WalkingEngine


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_addresses_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_a_local_server_answers_to_no_other_name(tiny_bundle: Path) -> None:
    services = Services(suggester_with(WalkingEngine(), tiny_bundle))

    async def statuses(is_local: bool) -> list[int]:
        transport = httpx.ASGITransport(create_app(services, is_local=is_local))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            hosts = (
                "localhost",
                "localhost:8000",
                "127.0.0.1:8000",
                "[::1]:8000",
                "evil.example",
                "localhost.evil.example:8000",
                "",
            )
            return [(await client.post(PATH, json=LISTING, headers={"host": host})).status_code for host in hosts]

    assert asyncio.run(statuses(True)) == [200] * 4 + [403] * 3
    assert asyncio.run(statuses(False)) == [200] * 7

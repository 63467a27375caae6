import asyncio
from pathlib import Path

import pytest

from hangtag.errors import InvalidSettings, Overloaded, UnknownKey
from serve.auth import Caller, Doorkeeper, rate_of
from serve.keys import LOCAL_TENANT, KeyFile, add_key


def test_without_keys_everybody_is_the_local_admin() -> None:
    assert asyncio.run(Doorkeeper().admit(None)) == Caller(LOCAL_TENANT, admin=True)
    assert asyncio.run(Doorkeeper().admit("whatever")) == Caller(LOCAL_TENANT, admin=True)


def test_a_key_says_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, plain = add_key(path, "acme")
    _, admin = add_key(path, "house", admin=True)
    door = Doorkeeper(KeyFile(path))

    async def ask() -> None:
        assert await door.admit(plain) == Caller("acme")
        assert await door.admit(admin) == Caller("house", admin=True)
        for wrong in (None, "", "ht_nothing"):
            with pytest.raises(UnknownKey):
                await door.admit(wrong)

    asyncio.run(ask())


def test_a_tenant_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = [add_key(path, "acme")[1] for _ in range(2)]
    _, other = add_key(path, "other")
    _, patient = add_key(path, "acme", rate="100/hour")
    door = Doorkeeper(KeyFile(path), rate="3/hour")

    async def ask() -> None:
        for key in (keys[0], keys[1], keys[0]):
            await door.admit(key)
        for key in keys:
            with pytest.raises(Overloaded, match="3 per 1 hour") as caught:
                await door.admit(key)
            assert 0 < caught.value.retry_after <= 7200
        await door.admit(other)
        for _ in range(5):
            await door.admit(patient)

    asyncio.run(ask())


@pytest.mark.parametrize("text", ["", "many", "100", "0/second", "-1/second", "1/fortnight"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings):
        rate_of(text)

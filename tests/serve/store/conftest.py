"""The same tests on both databases: `url` is an empty one, `store` a store in it whose clock stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from serve.store import Store
from tests.serve.store.postgres import Server, server, why_not
from tests.serve.store.shop import NOW


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running server, or a skip that says why there is none."""
    if reason := why_not():
        pytest.skip(reason)
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    running: Server = request.getfixturevalue("postgres")
    engine = create_engine(running.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return running.url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Of users without a key."""
    made = Store(url, clock=lambda: NOW)
    yield made
    made.close()

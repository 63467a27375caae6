import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from hangtag.errors import InvalidSettings, StoreUnavailable
from serve.store import Store
from serve.store.database import REST_SECONDS, Database
from serve.store.names import UserNames
from serve.store.tables import metadata
from tests.serve.store.postgres import Server
from tests.serve.store.shop import NOW, SHOP, did


def test_the_steps_lead_to_the_tables(url: str) -> None:
    database = Database(url)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_servers_that_start_at_once_make_the_tables_once(url: str) -> None:
    stores = [Store(url, clock=lambda: NOW) for _ in range(5)]
    failures: list[BaseException] = []

    def begin(store: Store, user: str) -> None:
        try:
            store.add_events(SHOP, [did(user, "view", "Red")])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(store, f"u{number}")) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(len(stores[0].history(SHOP, f"u{number}")) == 1 for number in range(5))
    for store in stores:
        store.close()


def test_what_is_deleted_while_somebody_reads_leaves_the_log_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = Store(f"sqlite:///{file}", clock=lambda: NOW)
    store.add_events(SHOP, [did("a-very-particular-user", "view", "Red")])
    log = file.with_name("store.db-wal")
    with store.database.read() as reading:
        reading.execute(text("SELECT count(*) FROM users")).scalar_one()
        assert store.remove_user(SHOP, "a-very-particular-user").users == 1
        assert b"a-very-particular-user" in log.read_bytes()
    until = time.monotonic() + 20
    while b"a-very-particular-user" in log.read_bytes() and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(b"a-very-particular-user" in left.read_bytes() for left in tmp_path.iterdir())
    store.close()


def test_tables_of_the_first_version_keep_their_rows(url: str) -> None:
    old = Store(url, clock=lambda: NOW)
    old.add_events(SHOP, [did("u", "view", "Red", product="S1")])
    with old.database.write() as connection:
        connection.execute(text("DROP INDEX events_by_product"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    old.close()
    new = Store(url, clock=lambda: NOW)
    assert new.seen(SHOP, "u") == {"S1"}
    with new.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    new.close()


def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    database = Database(url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    late = Database(url)
    with pytest.raises(StoreUnavailable, match="newer version"), late.read():
        pass
    late.close()


def fail_after_writing(store: Store) -> None:
    with store.database.write() as connection:
        connection.execute(text("INSERT INTO users (tenant, name) VALUES ('shop', 'u')"))
        raise ZeroDivisionError


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_after_writing(store)
    with store.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM users")).scalar() == 0


def test_a_server_that_goes_down_and_comes_back_is_used_again(postgres: Server) -> None:
    store = Store(postgres.url, clock=lambda: NOW)
    before = len(store.history(SHOP, "u"))
    store.add_events(SHOP, [did("u", "view", "Red", key="before")])
    postgres.stop()
    try:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="the store failed"):
            store.add_events(SHOP, [did("u", "view", "Linen", key="after")])
        with pytest.raises(StoreUnavailable, match="try again soon"):
            store.history(SHOP, "u")
        assert time.monotonic() - begun < 5
    finally:
        postgres.start()
    time.sleep(REST_SECONDS)
    store.add_events(SHOP, [did("u", "view", "Linen", key="after")])
    assert len(store.history(SHOP, "u")) == before + 2
    store.close()


def test_a_file_that_is_no_database_or_can_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"nothing of the kind" * 100)
    for path, message in ((tmp_path / "x.db", "not a database"), (tmp_path / "none" / "x.db", "unable to open")):
        database = Database(f"sqlite:///{path}")
        with pytest.raises(StoreUnavailable, match=message), database.read():
            pass
        with pytest.raises(StoreUnavailable, match="try again soon"), database.read():
            pass
        database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "no database known here"),
        ("oracle://x/y", "no database known here"),
        ("nothing", "can't be read"),
    ],
)
def test_urls_that_are_none(url: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        Database(url)


def test_keyed_names_differ_by_user_tenant_and_key() -> None:
    names = UserNames("secret")
    given = {names.stored(tenant, user) for tenant in ("a", "b") for user in ("u", "v")} | {UserNames("other").stored("a", "u")}
    assert len(given) == 5
    assert all(len(name) == 64 for name in given)
    assert names.stored("a", "u") == UserNames("secret").stored("a", "u")
    assert UserNames().stored("a", "u") == "u"

"""`Database`: connections and transactions of a SQLite file or a PostgreSQL server, brought up to the newest tables at first
use. It knows no table; whatever fails underneath is `StoreUnavailable`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from hangtag.errors import InvalidSettings, StoreUnavailable

BUSY_SECONDS = 5.0
"""How long another writer is waited for."""

CONNECT_SECONDS = 2
LONGEST_SECONDS = 30
"""How long PostgreSQL may take for one statement."""

REST_SECONDS = 1.0
"""How long a database that was not to be reached is left alone: callers are refused at once meanwhile."""

CHECKPOINT_SECONDS = 1.0
"""How often SQLite's log is brought into its file, beside the writers: none of them has to do it and wait for the disk."""

WIPE_MILLISECONDS = 200
"""How long readers of an older state are waited for, to empty the log behind them."""

LONGEST_LOG = 32_000
"""Pages of the log after which a writer does it all the same."""

POOL = 8
MIGRATION_LOCK = 0x68616E67
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


class Database:
    """The database at a URL: `sqlite:///FILE` or `postgresql://...`. Nothing is opened before the first use, so that a database
    that is down is no reason not to start. Raises `InvalidSettings` for a URL that can't be used."""

    def __init__(self, url: str) -> None:
        self._url = _checked(url)
        self.name = self._url.render_as_string(hide_password=True)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = self._make_engine()
        self._writing = threading.Lock()
        self._preparing = threading.Lock()
        self._is_ready = False
        self._rests_until = 0.0
        self._closing = threading.Event()
        self._checkpointing = threading.Lock()
        self._wipe_due = threading.Event()
        self._checkpoints: threading.Thread | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the tables. Raises `StoreUnavailable`."""
        self.prepare()
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it, or nothing. SQLite has one writer at a time, and waiting for it here is fairer and quicker
        than there. Raises `StoreUnavailable`."""
        self.prepare()
        with self._alone(), self._translated(), self._writer() as connection:
            yield connection

    def wipe(self) -> None:
        """See to it that what was deleted can't be read from SQLite's log any more: now, or while somebody still reads an older
        state, as soon as nobody does. PostgreSQL's log is its server's business."""
        if self.is_sqlite:
            self._wipe_due.set()
            self._shorten_log()

    def close(self) -> None:
        """Give the connections back."""
        self._closing.set()
        if self._checkpoints is not None:
            self._checkpoints.join()
        self._engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        with held(self._writing, BUSY_SECONDS, "the store is busy writing; try again soon"):
            yield

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(hangtag_writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if isinstance(error, OperationalError) and error.statement is None:  # not even a connection
                self._rests_until = time.monotonic() + REST_SECONDS
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"the store failed: {type(cause).__name__}: {' '.join(str(cause).split())}") from error

    def prepare(self) -> None:
        """Bring the tables up to date, once; of several processes at once, one does it and the others wait. The first use does it
        anyway, and takes longer for it. Raises `StoreUnavailable`."""
        if self._is_ready:
            self._check_rest()
            return
        with self._preparing:
            if self._is_ready:
                return
            self._check_rest()
            try:
                with self._alone(), self._translated(), self._writer() as connection:
                    if not self.is_sqlite:
                        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
                    from serve.store.migrations import upgrade

                    upgrade(connection)
            except StoreUnavailable:
                self._rests_until = time.monotonic() + REST_SECONDS
                raise
            if self.is_sqlite:
                self._checkpoints = threading.Thread(target=self._keep_log_short, name="hangtag-checkpoints", daemon=True)
                self._checkpoints.start()
            self._is_ready = True

    def _check_rest(self) -> None:
        if time.monotonic() < self._rests_until:
            raise StoreUnavailable(f"the store {self.name} can't be reached; try again soon")

    def _keep_log_short(self) -> None:
        while not self._closing.wait(CHECKPOINT_SECONDS):
            with suppress(StoreUnavailable):
                self._shorten_log()

    def _shorten_log(self) -> None:
        """Bring the log into the file, and empty it where that is due; readers are hardly waited for, writers would wait too."""
        with self._checkpointing, self._translated(), self._engine.connect() as connection:
            if not self._wipe_due.is_set():
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
                return
            connection.exec_driver_sql(f"PRAGMA busy_timeout={WIPE_MILLISECONDS}")
            try:
                is_busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * BUSY_SECONDS)}")
            if not is_busy:
                self._wipe_due.clear()

    def _make_engine(self) -> Engine:
        options: dict[str, Any] = {"pool_size": POOL, "max_overflow": POOL, "pool_timeout": BUSY_SECONDS}
        if self.is_sqlite:
            engine = create_engine(self._url, connect_args={"timeout": BUSY_SECONDS}, **options)
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        limits = {"connect_timeout": CONNECT_SECONDS, "options": f"-c statement_timeout={1000 * LONGEST_SECONDS}"}
        return create_engine(self._url, connect_args=limits, pool_pre_ping=True, **options)


@contextmanager
def held(lock: threading.Lock, seconds: float, refusal: str) -> Iterator[None]:
    """While the lock is held. Raises `StoreUnavailable` with `refusal` where somebody else has it for so many seconds."""
    if not lock.acquire(timeout=seconds):
        raise StoreUnavailable(refusal)
    try:
        yield
    finally:
        lock.release()


def _checked(url: str) -> URL:
    hint = "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    try:
        made = make_url(url)
        kind = made.get_backend_name()
        if kind not in DRIVERS or (kind == "sqlite" and not made.database):
            raise InvalidSettings(f"the store {made.render_as_string(hide_password=True)!r} is no database known here; {hint}")
        made = made.set(drivername=DRIVERS[kind])
        made.get_dialect().import_dbapi()
    except ArgumentError:
        raise InvalidSettings(f"the store's URL can't be read; {hint}", field="store") from None
    except (NoSuchModuleError, ImportError) as error:
        raise InvalidSettings(f"the store needs a driver: pip install 'hangtag[postgres]' ({error})", field="store") from error
    return made


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in (*pragmas, f"wal_autocheckpoint={LONGEST_LOG}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("hangtag_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

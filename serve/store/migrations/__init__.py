"""How the tables came about, a step a file in `versions`, and how a database is brought up to the newest of them. They know
Alembic and nothing of what the tables are for.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from hangtag.errors import StoreUnavailable


def upgrade(connection: Connection) -> None:
    """Apply the steps that the database lacks, within the transaction that `connection` is in. Raises `StoreUnavailable` for
    tables that are newer than this version."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreUnavailable(f"the store's tables were made by a newer version of hangtag: {error}") from error

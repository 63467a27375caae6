"""A PostgreSQL server of the test session's own, where its binaries are at hand. It refuses to run as root, so root hands it to
the user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"


def why_not() -> str:
    """Why no server can be started here; empty if one can."""
    if missing := [name for name in ("initdb", "pg_ctl") if _binary(name) is None]:
        return f"PostgreSQL's {missing[0]} is not on this machine"
    if os.getuid() == 0 and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no user {USER}"
    return ""


class Server:
    """A server in a directory, on a free port of loopback; `url` is its database."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"
        self._run("initdb", "-D", str(directory), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={self._directory}"
        self._run("pg_ctl", "-D", str(self._directory), "-w", "-o", options, "-l", str(self._directory / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._directory), "-w", "-m", "immediate", "stop")

    def _run(self, name: str, *arguments: str) -> None:
        user = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run(
            [str(_binary(name)), *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            **user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{name} failed with {done.returncode}"


@contextmanager
def server() -> Iterator[Server]:
    """One that runs, and is gone in the end."""
    directory = Path(tempfile.mkdtemp(prefix="hangtag-postgres-"))  # not pytest's own, which another user can't enter
    try:
        if os.getuid() == 0:
            shutil.chown(directory, USER, USER)
        made = Server(directory)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _binary(name: str) -> Path | None:
    if (found := shutil.which(name)) is not None:
        return Path(found)
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)  # where Debian keeps it, out of the way

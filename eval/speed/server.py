"""`hangtag serve` in a process of its own, on loopback: started, up, ended, and its memory. It knows no route."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hangtag.errors import EngineError

SECONDS_TO_START = 300.0


@contextmanager
def served(*options: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """The port and the process of a server with these options, once it is up. Raises `EngineError` with the last that it said
    where it does not come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "cli", "serve", "--host", "127.0.0.1", "--port", str(port), *options]
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said, env=environment) as process:
            try:
                deadline = time.monotonic() + SECONDS_TO_START
                while not _is_up(port):
                    if process.poll() is not None or time.monotonic() > deadline:
                        last = " ".join(log.read_text(errors="replace").splitlines()[-3:])
                        raise EngineError(f"the server did not start: {last}")
                    time.sleep(0.2)
                yield port, process.pid
            finally:
                process.terminate()
                process.wait()


def _is_up(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def growth(megabytes: Sequence[float]) -> float:
    """Megabytes by which a server grew from the second quarter of the time to the last; 0 where there are too few looks."""
    quarter = len(megabytes) // 4
    if not quarter:
        return 0.0
    return float(np.mean(megabytes[-quarter:]) - np.mean(megabytes[quarter : 2 * quarter]))

"""vLLM's own server as a process, with nothing but the environment to tell it of hangtag."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.vllm.served import Served

SECONDS_TO_START = 900
"""On a machine that has other things to do; twenty on one that has not."""


def command(served: Served, port: int, *options: str) -> list[str]:
    flags: list[str] = []
    for name, value in served.engine.items():
        flags += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    module = "vllm.entrypoints.openai.api_server"
    return [
        sys.executable,
        "-m",
        module,
        "--model",
        str(served.model),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--enable-prompt-tokens-details",
        *flags,
        *options,
    ]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(served: Served, **others: str) -> dict[str, str]:
    return {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ, "HANGTAG_VOCABULARY_DIR": str(served.vocabularies), **others}


ADAPTERS = ("--enable-lora", "--max-loras", "2", "--max-lora-rank", "16", "--num-gpu-blocks-override", "64")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has started, and a client of it."""

    client: httpx.Client
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def kill(self) -> None:
        """At once."""
        _kill(self.process)


@contextmanager
def started(served: Served, log: Path, *options: str, adapters: bool = False, **variables: str) -> Iterator[Running]:
    """A server; its output goes to `log`. With `adapters` it takes some at run time."""
    port = free_port()
    if adapters:
        options, variables = (*options, *ADAPTERS), {**variables, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    with log.open("w") as output:
        process = subprocess.Popen(
            command(served, port, *options),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(served, **variables),
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait(process, client, log)
            yield Running(client, process)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started: without its front end vLLM's engine would stay for good."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(served: Served, log: Path, *options: str, **others: Any) -> Iterator[httpx.Client]:
    """A client of a server, see `started`."""
    with started(served, log, *options, **others) as server:
        yield server.client


def _wait(process: Any, client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended:\n{log.read_text()[-5000:]}"
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-5000:]}")

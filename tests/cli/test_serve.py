import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.keys import add_key
from tests.cli.commands import Run, assert_refused
from tests.serve.asking import LISTING, PATH, bearer


def test_without_keys_only_this_machine_may_ask(run: Run) -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        assert_refused(run("serve", "--host", host), "without keys only this machine may ask", "hangtag keys add")


def test_what_is_not_there_is_said_before_a_model_is_loaded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(run("serve", "--keys", str(tmp_path / "keys.json")), "no keys here", "hangtag keys add")
    for name, value, message in (
        ("BUNDLES", str(tmp_path / "none"), "is no directory"),
        ("RATE", "often", "'often' is no rate"),
        ("DEADLINE", "0", "deadline"),
        ("RUNNING", "0", "running"),
        ("LOG_FORMAT", "xml", "log_format"),
    ):
        with monkeypatch.context() as context:
            context.setenv(f"HANGTAG_{name}", value)
            assert_refused(run("serve"), message)
    (tmp_path / "adapters.json").write_text("{")
    monkeypatch.setenv("HANGTAG_ADAPTERS", str(tmp_path / "adapters.json"))
    assert_refused(run("serve"), "no list of adapters")


@pytest.fixture
def process(tiny_bundle: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, dict[str, str]]]:
    """`hangtag serve` with keys on every address, where it is, and the header of a key."""
    _, secret = add_key(tmp_path / "keys.json", "acme")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "cli",
        "serve",
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
        "--keys",
        str(tmp_path / "keys.json"),
    ]
    environment = {**os.environ, "HANGTAG_BUNDLE": str(tiny_bundle), "HANGTAG_STORE": "none", "HANGTAG_LOG_FORMAT": "json"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if "Uvicorn running" in line:
                break
        else:
            raise AssertionError("".join(said))
        draining = threading.Thread(target=process.stderr.read)
        draining.start()
        try:
            yield process, f"http://127.0.0.1:{port}", bearer(secret)
        finally:
            process.kill()
            draining.join()


def test_a_server_with_keys_answers_who_has_one_and_stops_when_it_is_told(
    process: tuple[subprocess.Popen[str], str, dict[str, str]],
) -> None:
    server, address, key = process
    assert httpx.post(address + PATH, json=LISTING, timeout=30).status_code == 401
    assert httpx.get(address + "/readyz", timeout=30).json()["status"] == "ready"
    statuses: list[int] = []
    asking = threading.Semaphore(0)

    def ask() -> None:
        asking.release()
        with httpx.stream("POST", f"{address}{PATH}?stream=true", json=LISTING, headers=key, timeout=30) as response:
            asking.release()
            statuses.append(response.status_code if "event: answer" in response.read().decode() else 0)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for _ in range(2 * len(callers)):
        asking.acquire()
    server.send_signal(signal.SIGTERM)
    for caller in callers:
        caller.join()
    assert server.wait(timeout=30) in (0, -signal.SIGTERM)
    assert statuses == [200] * 8

"""A headless Chromium for tests of the page, driven through its DevTools protocol over a pipe: no driver is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 30.0


class Browser:
    """One page. What it complained of in its console is in `complaints`."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = os.fdopen(to, "wb", buffering=0), os.fdopen(back, "rb", buffering=0)
        self._rest, self._number, self._session = b"", 0, ""
        self.complaints: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        self._to.write(json.dumps({"id": self._number, "method": method, "params": parameters, **session}).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(message["params"]))

    def see(self, expression: str) -> Any:
        """What JavaScript makes of an expression; a promise is waited for."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true."""
        deadline = time.monotonic() + SECONDS
        while not self.see(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"never: {expression}; {self.complaints}"
            time.sleep(0.02)

    def open(self, address: str) -> None:
        """Go there, and wait until all is loaded."""
        self.send("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def shoot(self, path: Path, width: int, height: int) -> None:
        """A picture of the page in a window of a size."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._to.close()
        self._back.close()

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = self._back.read(65_536)
            assert more, "the browser is gone"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser that keeps its things in `folder`."""
    assert CHROMIUM is not None
    commands, to = os.pipe()
    back, answers = os.pipe()
    script = f'exec "{CHROMIUM}" "$@" 3<&{commands} 4>&{answers}'
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--lang=en")
    process = subprocess.Popen(
        ["bash", "-c", script, "chromium", *options],
        pass_fds=(commands, answers),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    browser = None
    try:
        browser = Browser(to, back)
        yield browser
    finally:
        process.kill()
        process.wait()
        if browser is not None:
            browser.close()

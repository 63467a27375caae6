"""What the server logs, as lines for people or as JSON, each with the id of its request. It knows no message; nobody's text is in
any.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being worked on."""

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET = ("uvicorn.access", "httpx", "httpcore")
"""Loggers that would write paths and addresses; the access log of our own has what is needed."""


class _WithRequest(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if identifier := request_id.get():
            record.request_id = identifier
        return True


def configure_logs(form: Literal["text", "json"]) -> None:
    """For the whole process, on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithRequest())
    if form == "json":
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(TEXT, rename_fields=names, json_ensure_ascii=False))
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

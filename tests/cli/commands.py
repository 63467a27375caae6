"""How tests of commands look at what came of one."""

from __future__ import annotations

from collections.abc import Callable

from typer.testing import Result

Run = Callable[..., Result]


def assert_refused(result: Result, *parts: str, code: int = 2) -> None:
    """One line of an error that has these parts."""
    assert result.exit_code == code
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    for part in parts:
        assert part in line

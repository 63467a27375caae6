"""What tests of commands share: the command with the tiny bundle in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.cli.commands import Run


@pytest.fixture
def run(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with the tiny bundle in the environment; errors leave no traceback and nothing on stdout."""
    monkeypatch.setenv("HANGTAG_BUNDLE", str(tiny_bundle))

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        if result.exit_code:
            assert result.stdout == ""
        return result

    return invoke

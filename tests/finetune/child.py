"""A run in a process of its own, which says every step that it has done, so that a test can kill it in the middle of the next.

python -m tests.finetune.child RECIPE FOLDER [--resume]
"""

import sys
from pathlib import Path

import torch

from finetune.reading import read_recipe
from finetune.session import train_run
from tests.finetune.shop import Silent


class Telling(Silent):
    """Writes the number of each step to standard output."""

    def done(self, name: str, count: int, note: str = "") -> None:
        if name == "Steps":
            print(count, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_run(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), Telling(), resume="--resume" in sys.argv)

"""`MiniRecipe`: everything that decides how the bundled model is made from nothing. It knows which keys there are, not what is
done with them; what a key means is said by the comments of `finetune/recipes/mini.yaml`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import Field

from finetune.config import Section, Weights


class Pretraining(Section):
    tokens: int = Field(ge=300)
    examples: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    steps: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)


class AdapterTraining(Section):
    examples: int = Field(ge=1)
    real_passes: int = Field(default=1, ge=0)
    learning_rate: float = Field(gt=0)
    steps: int | None = Field(default=None, ge=1)
    seed: int = Field(default=1, ge=0)


class Calibrating(Section):
    listings: int = Field(ge=20)
    seed: int = Field(default=78, ge=0)
    precision: float = Field(default=0.9, gt=0, lt=1)
    sets: tuple[str, ...] = ()
    rows: int = Field(default=300, ge=20)


class MiniRecipe(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(min_length=1)
    output: Path
    vocabulary: Path
    domains: Path
    base: Pretraining
    adapter: AdapterTraining
    calibration: Calibrating
    weights: Weights = Weights()

    def hash(self, *stages: str) -> str:
        """Of the keys of these stages and of what all of them read: equal hashes, what a stage has made still holds."""
        given = self.model_dump(mode="json", include=set(stages))
        read = [path.read_text(encoding="utf-8") for path in (self.vocabulary, self.domains)]
        return hashlib.sha256(json.dumps([given, read], sort_keys=True).encode()).hexdigest()

    def located(self, folder: Path) -> MiniRecipe:
        """With the paths of inputs put after the recipe's folder."""
        return self.model_copy(update={"vocabulary": folder / self.vocabulary, "domains": folder / self.domains})

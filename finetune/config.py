"""`Recipe`: everything that decides a fine-tuning run. It knows which keys there are and what they may be, and neither files,
data nor models. What a key means is said by the comments of the reference recipe, `finetune/recipes/qwen3-4b-qlora-24gb.yaml`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hangtag.rules import MOST_TAGS

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(Section):
    model: str
    revision: str | None = None
    adapter: Path | None = None


class Columns(Section):
    """The file's name for each thing; where all are left out, the file is in the form that evaluation reads."""

    tags: str = "tags"
    id: str | None = None
    product_id: str | None = None
    title: str | None = None
    description: str | None = None
    attributes: tuple[str, ...] = ()
    language: str | None = None
    category: str | None = None
    user_id: str | None = None
    behaviour: str | None = None
    at: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Columns:
        if not (self.title or self.description or self.attributes):
            raise ValueError("name a column for the title, the description or attributes: there is no text otherwise")
        if (self.user_id or self.behaviour) and not (self.user_id and self.behaviour and self.at):
            raise ValueError("what users did needs all of user_id, behaviour and at: a summary is made of earlier events only")
        return self


class DataFile(Section):
    path: Path
    columns: Columns | None = None
    separator: str = Field(default="|", min_length=1)
    behaviours: dict[str, str] = {}
    zone: str | None = None


class Validation(Section):
    share: Share = 0.1
    by: Literal["product", "time"] = "product"
    file: DataFile | None = None


class Data(Section):
    files: tuple[DataFile, ...] = ()
    feedback: tuple[Path, ...] = ()
    vocabulary: Path | None = None
    unknown_tags: Literal["error", "drop"] = "error"
    skip_bad: bool = False
    history: int = Field(default=20, ge=0)
    validation: Validation = Validation()

    @model_validator(mode="after")
    def _some(self) -> Data:
        if not self.files and not self.feedback:
            raise ValueError("name rows to learn from: files, feedback, or both")
        return self


class Prompt(Section):
    template: str = "chat"
    max_tags: int = Field(default=5, ge=1, le=MOST_TAGS)
    explanation: Literal["quotes", "none"] = "quotes"
    languages: tuple[str, ...] = Field(default=("en", "zh"), min_length=1)
    context: int = Field(default=2048, ge=128)


class Lora(Section):
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    dropout: Share = 0.0
    targets: tuple[str, ...] = Field(default=PROJECTIONS, min_length=1)


class Sequences(Section):
    length: int = Field(default=1024, ge=64)
    packing: bool = False


class Batch(Section):
    rows: int = Field(default=16, ge=1)
    tokens: int | None = Field(default=None, ge=64)
    accumulation: int = Field(default=1, ge=1)


class Schedule(Section):
    epochs: float = Field(default=1.0, gt=0)
    steps: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=2e-4, gt=0)
    kind: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.05
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    optimiser: Literal["adamw_torch", "adamw_torch_fused", "paged_adamw_8bit"] = "adamw_torch"


class Evaluation(Section):
    every: Share = 0.25
    rows: int = Field(default=200, ge=1)
    metric: Literal["nDCG", "P@1", "micro-F1"] = "nDCG"
    patience: int | None = Field(default=None, ge=1)


class Preference(Section):
    beta: float = Field(default=0.1, gt=0)
    desirable: float = Field(default=1.0, gt=0)
    undesirable: float = Field(default=1.0, gt=0)


class Parallel(Section):
    fsdp: bool = False
    wrap: tuple[str, ...] = ()


class Weights(Section):
    """See `hangtag.bundle.Weights`."""

    own_candidates: float = 1.0
    own_stated: float = 2.0
    other_candidates: float = 16.0
    interests: float = 0.5
    evidence: float = 10.0
    own_memory: float | None = None


class Recipe(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(default="1", min_length=1)
    output: Path
    seed: int = Field(default=0, ge=0)
    base: Base
    data: Data
    prompt: Prompt = Prompt()
    lora: Lora = Lora()
    quantisation: Literal["none", "8bit", "nf4"] = "none"
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    checkpointing: bool = False
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    method: Literal["sft", "kto", "dpo"] = "sft"
    preference: Preference = Preference()
    loss: Literal["plain", "allowed"] = "plain"
    prior: bool = False
    memory: bool = False
    order: Literal["given", "sampled"] = "given"
    sequences: Sequences = Sequences()
    batch: Batch = Batch()
    schedule: Schedule = Schedule()
    evaluation: Evaluation = Evaluation()
    parallel: Parallel = Parallel()
    weights: Weights = Weights()

    @model_validator(mode="after")
    def _fitting(self) -> Recipe:
        if self.prior and self.loss != "allowed":
            raise ValueError("prior: true belongs to loss: allowed, where the decoder's biases are known; set loss: allowed")
        if self.memory and not self.prior:
            raise ValueError("memory: true belongs to prior: true: the adapter learns what the memory does not say; set both")
        if self.sequences.length > self.prompt.context:
            raise ValueError(f"sequences.length {self.sequences.length} is over prompt.context {self.prompt.context}; lower it")
        if self.sequences.packing and self.batch.tokens:
            raise ValueError("packing fills sequences of sequences.length; leave batch.tokens out")
        if self.method != "sft":
            self._check_preference()
        return self

    def _check_preference(self) -> None:
        if not self.data.feedback:
            raise ValueError(f"method: {self.method} learns from data.feedback; name its files")
        mixed = {
            "loss: allowed": self.loss == "allowed",
            "order: sampled": self.order == "sampled",
            "sequences.packing": self.sequences.packing,
            "batch.tokens": self.batch.tokens is not None,
            "parallel.fsdp": self.parallel.fsdp,
        }
        if wrong := [key for key, is_set in mixed.items() if is_set]:
            raise ValueError(f"{wrong[0]} belongs to method: sft; leave it out with method: {self.method}")
        if self.method == "kto" and self.batch.rows < 2:
            raise ValueError("method: kto compares rows of one batch; set batch.rows to 2 at least, better to 8 or more")

    @property
    def hash(self) -> str:
        """Of all that decides the training, so not of where it goes; equal hashes, a run may be resumed."""
        given = self.model_dump(mode="json", exclude={"output", "version", "name"})
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()

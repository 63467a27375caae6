"""TRL's DPO and KTO trainers over our token ids, judged as every run is. They know ids and settings; what was preferred, and the
judge, are handed in.

TRL tokenises texts as a whole, which the decoder does not: so its own preparation of data, which has no switch, is put aside.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from finetune.arguments import arguments_of
from finetune.config import Recipe
from finetune.trainer import Judged, answers_only

REFERENCE = "ref"
"""What TRL calls its copy of the adapter as it was before."""


class _Prepared:
    """Of a TRL trainer: rows are ids already, and only the adapter that is trained is saved. With the reference beside it in a
    checkpoint transformers would resume the reference alone, and train on from the beginning without a word."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        folder = output_dir or self.args.output_dir  # type: ignore[attr-defined]
        shutil.rmtree(Path(folder) / REFERENCE, ignore_errors=True)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """The bundle has a card of its own."""


class _Dpo(Judged, _Prepared, DPOTrainer):  # type: ignore[misc]
    pass


class _Kto(Judged, _Prepared, KTOTrainer):  # type: ignore[misc]
    pass


def preference_trainer(
    recipe: Recipe, model: Any, rows: Sequence[Mapping[str, Any]], *, tokenizer: Any, folder: Path, steps: int, **judged: Any
) -> Judged:
    """For `method: dpo` or `kto`; `rows` are those of `finetune.pairs` for the whole run, in their order, and `judged` is what
    `Judged` takes. KTO estimates how far the model has gone from every prompt with its neighbour's answer, batch by batch."""
    given = arguments_of(recipe, folder, steps) | {
        "per_device_train_batch_size": recipe.batch.rows,
        "train_sampling_strategy": "sequential",
        "max_length": None,
        "beta": recipe.preference.beta,
    }
    answers_only(model.get_base_model())
    made = [dict(row) for row in rows]
    if recipe.method == "dpo":
        config, trainer = DPOConfig(**given), _Dpo
    else:
        for start in range(0, len(made), recipe.batch.rows):
            batch = made[start : start + recipe.batch.rows]
            answers = [row["completion_ids"] for row in batch]
            for row, other in zip(batch, (answers[-1], *answers[:-1]), strict=True):
                row["KL_completion_ids"] = other
        weights = {
            "desirable_weight": recipe.preference.desirable,
            "undesirable_weight": recipe.preference.undesirable,
        }
        config, trainer = KTOConfig(**given, **weights), _Kto
    return trainer(model, args=config, train_dataset=Dataset.from_list(made), processing_class=tokenizer, **judged)

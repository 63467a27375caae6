"""Rows of public sets that a model never saw, with their own labels, through the `Suggester`: is what it suggests first right,
with and without candidates in its prompt and beside it. It knows no training.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from eval.bootstrap import differences, intervals, resample_means
from eval.datasets import convert
from eval.metrics import Floats
from eval.rows import Row
from eval.splits import draw
from hangtag.bundle import Bundle
from serve.candidates import Candidates
from serve.engines.local import LocalEngine
from serve.suggester import Suggester, SuggestionRequest
from serve.tokenizer import HuggingFaceTokenizer

JUDGES = ("retail_demo_store", "litemall_zh")
"""Sets that nothing is trained on."""

PRIORS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""How often the candidates count beside the model; 16 in the bundle that ships."""


class Judges:
    """At most `count` rows of each set, drawn by a hash, asked through the suggester of `bundle` with its weights replaced; the
    bundle's vocabulary is the candidates' thesaurus, as in serving."""

    def __init__(self, bundle: Path, data: Path, count: int) -> None:
        self._bundle = Bundle.load(bundle)
        sets = {name: convert(name, data) for name in JUDGES}
        self.rows = {name: sorted(s.rows, key=lambda row: draw(row.listing.id))[:count] for name, s in sets.items()}
        self._vocabularies = {name: s.vocabulary for name, s in sets.items()}
        thesaurus = self._bundle.vocabulary
        self._candidates = {name: Candidates(s.vocabulary, thesaurus=thesaurus) for name, s in sets.items()}

    def alone(self, name: str) -> Floats:
        """1 for each row whose best candidate is right, (rows,): no model."""
        tags = self._vocabularies[name].tags
        found = [self._candidates[name].find(row.listing, 1) for row in self.rows[name]]
        return np.array([bool(f) and tags[f[0].tag].id in row.tags for f, row in zip(found, self.rows[name], strict=True)], float)

    def suggested(
        self, name: str, model: PreTrainedModel, tokenizer: HuggingFaceTokenizer, prior: float, prompt: Path | None = None
    ) -> Floats:
        """1 for each row of which the first tag that the model writes is right, (rows,), with candidates counting `prior` times
        beside it; asked with another prompt than the bundle's, if one is given."""
        weights = replace(self._bundle.weights, other_candidates=prior)
        bundle = replace(self._bundle, weights=weights, prompt_file=prompt or self._bundle.prompt_file)
        engine = LocalEngine(model, tokenizer)
        suggester = Suggester(bundle, self._vocabularies[name], tokenizer, engine, self._candidates[name])
        return asyncio.run(_asked(suggester, self.rows[name]))

    def compared(self, name: str, systems: dict[str, Floats]) -> list[dict[str, float | str]]:
        """P@1 of each system, and how much more that is than the candidates alone have, with the paired 95% interval."""
        alone = resample_means({"P@1": self.alone(name)})
        lines: list[dict[str, float | str]] = [{"set": name, "system": "candidates alone", "P@1": round(alone.points["P@1"], 4)}]
        for system, right in systems.items():
            resampled = resample_means({"P@1": right})
            own, more = intervals(resampled)["P@1"], differences(resampled, alone)["P@1"]
            figures = {"P@1": own.value, "more": more.value, "from": more.low, "to": more.high}
            lines.append({"set": name, "system": system, **{key: round(value, 4) for key, value in figures.items()}})
        return lines


async def _asked(suggester: Suggester, rows: Sequence[Row]) -> Floats:
    try:
        requests = [SuggestionRequest(row.listing, max_tags=1, explain=False) for row in rows]
        made = await asyncio.gather(*map(suggester.suggest, requests))
    finally:
        await suggester.engine.close()
    return np.array([found.tags[0].tag.id in row.tags for row, found in zip(rows, made, strict=True)], float)

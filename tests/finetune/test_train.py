"""Training for real, in a few steps: base weights, adapter, and a bundle that serves."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

import finetune.pretrain
import finetune.train
from hangtag.listing import Listing
from serve.assemble import assemble
from serve.suggester import SuggestionRequest

VOCABULARY = """\
id,facet,en,zh,aliases_en,aliases_zh
category/headphones,category,Headphones,耳机,earphones|headset,耳麦|耳塞
category/shirts,category,Shirts,衬衫,shirt|blouse,衬衣|上衣
material/linen,material,Linen,亚麻,flax|linen cloth,麻布|亚麻布
feature/washable,feature,Washable,可机洗,machine wash|can be washed,可水洗|机洗
"""


def run(monkeypatch: pytest.MonkeyPatch, module: object, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
    module.main()  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore")  # torch's compiler and transformers' trainer warn about themselves
def test_from_nothing_to_a_bundle_that_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    vocabulary, domains = tmp_path / "vocabulary.csv", tmp_path / "domains.csv"
    vocabulary.write_text(VOCABULARY, encoding="utf-8")
    domains.write_text("id,domains\ncategory/headphones,electronics\ncategory/shirts,fashion\n", encoding="utf-8")
    monkeypatch.setattr("finetune.pretrain.TOKENIZER_EXAMPLES", 200)
    monkeypatch.setattr("finetune.loop.torch.compile", lambda model, **options: model)  # minutes, and nothing to see
    given = ["--vocabulary", vocabulary, "--domains", domains, "--examples", 40, "--max-steps", 2]
    run(monkeypatch, finetune.pretrain, "--output", tmp_path / "base", "--tokens", 600, *given)
    base = tmp_path / "base" / "base"
    run(monkeypatch, finetune.train, "--base", base, "--output", tmp_path / "adapter", *given)
    bundle = tmp_path / "bundle"
    run(
        monkeypatch,
        finetune.train,
        "--base",
        base,
        "--output",
        tmp_path / "adapter",
        "--vocabulary",
        vocabulary,
        "--export",
        bundle,
    )
    assert json.loads((bundle / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "../base"

    suggester = assemble(bundle)

    async def answer():
        try:
            return await suggester.suggest(SuggestionRequest(Listing("亚麻衬衫"), min_tags=1, max_tags=3))
        finally:
            await suggester.engine.close()

    suggestion = asyncio.run(answer())
    assert 1 <= len(suggestion.tags) <= 3
    assert suggestion.model == "bundle@0.1.0"

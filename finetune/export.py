"""From a run to a bundle: the best adapter, or weights that it was merged into, with prompt, vocabulary, figures and a card, tied
by hashes. It knows files; what serving makes of them is known by `hangtag.bundle`.

A bundle is made beside its place and moved there as a whole, after it was read back: there is never half of one.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from finetune.config import Base, Recipe
from finetune.folder import base_hash, read_about
from finetune.judge import BEST, EVALUATIONS, parse_evaluations
from finetune.kit import PROMPT, TRAINED_WITH, VOCABULARY
from finetune.model import BaseFiles, find_base
from finetune.weighing import best_weight
from hangtag.bundle import MANIFEST, Bundle, write_manifest
from hangtag.errors import EngineError, InvalidBundle, InvalidSettings
from hangtag.files import save_json

CARD, METRICS = "README.md", "metrics.json"
COPIED = frozenset({".json", ".safetensors", ".jinja"})
ROOM = 2**20
"""Bytes for small files."""


def export_run(run: Path, output: Path, *, merged: bool = False, version: str | None = None) -> Bundle:
    """Write the bundle of a run to `output`, which must not exist, and return it as serving reads it. Raises `InvalidSettings`
    for a run without an adapter, `InvalidBundle` for a base that is not the run's, `EngineError` for a full disk."""
    about = read_about(run)
    recipe = Recipe.model_validate(about["recipe"])
    evaluations = parse_evaluations(run / EVALUATIONS)
    if not (run / BEST / "adapter_model.safetensors").exists() or not evaluations:
        raise InvalidSettings(f"{run}: this run has kept no adapter yet; go on with hangtag finetune run --resume")
    if output.exists():
        raise InvalidSettings(f"{output}: something is there already; give another --output (a new version, a new name)")
    files = find_base(Base(model=recipe.base.model, revision=about["base"]["revision"]))
    if base_hash(files) != about["base_hash"]:
        raise InvalidBundle(
            f"{files.directory}: the base has changed since this run was trained on it; restore it, or train anew"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    for stale in output.parent.glob(f".{output.name}.part-*"):
        shutil.rmtree(stale, ignore_errors=True)  # of an export that was killed
    part = output.parent / f".{output.name}.part-{os.getpid()}"
    _check_room(run, files, output, merged)
    try:
        part.mkdir()
        _write(part, run, recipe, files, about, evaluations, merged=merged, version=version or recipe.version)
        Bundle.load(part)
        part.rename(output)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise EngineError(f"{output}: the bundle can't be written: {why}; make room, or give another --output") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.load(output)


def _write(
    part: Path,
    run: Path,
    recipe: Recipe,
    files: BaseFiles,
    about: dict[str, Any],
    evaluations: list[dict[str, float]],
    *,
    merged: bool,
    version: str,
) -> None:
    shutil.copyfile(run / PROMPT, part / PROMPT)
    shutil.copyfile(run / VOCABULARY, part / VOCABULARY)
    paths = {"prompt": PROMPT, "vocabulary": VOCABULARY}
    if merged:
        _merge(files.directory, run / BEST, part / "base")
        paths["base"] = "base"
    else:
        if files.hub is None:
            copy_weights(files.directory, part / "base")
            paths["base"] = "base"
        copy_adapter(run / BEST, part / "adapter", files.hub or "../base")
        paths["adapter"] = "adapter"
    fields = {
        "name": recipe.name,
        "version": version,
        "languages": list(recipe.prompt.languages),
        "context": recipe.prompt.context,
        "weights": recipe.weights.model_dump() | {"own_memory": _own_memory(run, recipe)},
    }
    write_manifest(part, fields, dict(sorted(paths.items())))
    if "base" not in paths:
        manifest = json.loads((part / MANIFEST).read_text(encoding="utf-8"))
        manifest["components"]["base"] = {"hub": files.hub, "revision": files.revision}
        save_json(manifest, part / MANIFEST)
    metrics = {"decided by": about["metric"], "best": _best(run, evaluations, about["metric"]), "evaluations": evaluations}
    save_json(metrics, part / METRICS)
    (part / CARD).write_text(_card(run, recipe, files, about, metrics["best"], merged, version), encoding="utf-8")


def _own_memory(run: Path, recipe: Recipe) -> float:
    """What the recipe says, else what the validation rows said."""
    if recipe.weights.own_memory is not None:
        return recipe.weights.own_memory
    weighed = best_weight(run)
    return TRAINED_WITH if weighed is None else weighed[0]


def _best(run: Path, evaluations: list[dict[str, float]], metric: str) -> dict[str, float]:
    """The figures of what is exported: with the weight of a memory that it is exported with, where several were tried."""
    best = max(evaluations, key=lambda each: each[metric])  # of equals the first, which is the one that was kept
    weighed = best_weight(run)
    return best if weighed is None else best | weighed[1]


def copy_weights(source: Path, target: Path) -> None:
    """The files of a base or an adapter that a bundle may have; links are followed."""
    target.mkdir()
    for file in sorted(source.iterdir()):
        if file.suffix in COPIED and file.is_file():
            shutil.copyfile(file, target / file.name)


def copy_adapter(source: Path, target: Path, base: str) -> None:
    """The same of an adapter, which names its `base` there."""
    copy_weights(source, target)
    configuration = target / "adapter_config.json"
    settings = json.loads(configuration.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    configuration.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _merge(base: Path, adapter: Path, target: Path) -> None:
    """The base with the adapter in its weights, in the base's own type."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32, use_safetensors=True, local_files_only=True)
        whole = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (ValueError, RuntimeError, KeyError) as error:
        raise EngineError(f"{base}: the adapter can't be merged: {error}") from error
    whole.save_pretrained(target, safe_serialization=True)
    for file in sorted(base.iterdir()):
        is_small = file.suffix in COPIED - {".safetensors"} and file.is_file() and not file.name.endswith(".index.json")
        if is_small and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)


def _check_room(run: Path, files: BaseFiles, output: Path, merged: bool) -> None:
    adapter = sum(file.stat().st_size for file in (run / BEST).iterdir())
    base = sum(file.stat().st_size for file in files.directory.iterdir() if file.is_file()) if merged or files.hub is None else 0
    needed, free = adapter + base * (2 if merged else 1) + ROOM, shutil.disk_usage(output.parent).free
    if needed > free:
        raise EngineError(f"{output}: the bundle needs {needed / 2**20:,.0f} MiB, the disk has {free / 2**20:,.0f}; make room")


def _card(
    run: Path, recipe: Recipe, files: BaseFiles, about: dict[str, Any], best: dict[str, float], merged: bool, version: str
) -> str:
    figures = "".join(f"| {name} | {value:.4f} |\n" for name, value in best.items() if name not in ("step", "-loss"))
    base = f"{files.hub} at {files.revision}" if files.hub else f"`{Path(recipe.base.model).name}` ({about['base_hash'][:12]}…)"
    how = "merged into the weights" if merged else "as an adapter"
    rank = json.loads((run / BEST / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    rows = about["rows"]
    notes = "".join(f"- {note}\n" for note in about["notes"])
    memory = ""
    if recipe.memory:
        memory = (
            "\nThey are with a memory of the training rows, which counts"
            f" {_own_memory(run, recipe):g} times (0: it leads); without one they are others.\n"
        )
    return f"""# {recipe.name} {version}

Suggests tags of one vocabulary for product listings; made by `hangtag finetune`.

- Base: {base}; LoRA of rank {rank} {how}; quantisation in training: {recipe.quantisation}
- Loss: {recipe.loss}, tags in {recipe.order} order; {recipe.schedule.epochs:g} epochs; seed {recipe.seed}
- Rows: {rows["training"]:,} for training, {rows["validation"]:,} for validation, no product in both
- Hashes: recipe {about["recipe_hash"][:12]}…, data {about["data_hash"][:12]}…, vocabulary {about["vocabulary_hash"][:12]}…

Validation rows through the production decoder, without explanations (step {best["step"]:.0f}; the adapter was picked by
{about["metric"]} on these rows, so figures on new rows may be a little lower):

| figure | |
|---|---|
{figures}{memory}
Confidences are not calibrated. Limits: the vocabulary and the kind of listings that it was trained on.
{notes and chr(10) + "Of the data:" + chr(10) + chr(10) + notes}"""

"""The bundled model from nothing, by one recipe: tokenizer, base weights, adapter, bundle, calibration. It knows the order of the
stages and what each has left; how a stage works is known by its own module.

A stage that is done is not done again, and one that was interrupted goes on. The bundle is made beside its place and moved there
as a whole.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from eval.corpus import Corpus
from eval.datasets import SETS, convert
from eval.rows import Row, RowFile, read_file, write_rows
from finetune.calibrate import Asked, Tick, ask_corpora, calibrate, corpus_over, keep
from finetune.checkpoints import disk_watched
from finetune.export import copy_adapter, copy_weights
from finetune.heldout import rows_of
from finetune.mini import MiniRecipe
from finetune.pretrain import CONTEXT, PLAIN_TEXT_SETS, pretrain
from finetune.synthesize import LANGUAGES, Synthesizer, read_domains
from finetune.train import train_adapter
from hangtag.bundle import Bundle, write_manifest
from hangtag.errors import InvalidData, InvalidSettings
from hangtag.files import save_json
from hangtag.formats import read_vocabulary
from hangtag.vocabulary import TagVocabulary
from prompts.render import TEMPLATES
from serve.assemble import assemble

log = logging.getLogger("finetune.making")

SERVED_CONTEXT = 512
"""Longer prompts than training's longest row are read, but not without end."""

assert SERVED_CONTEXT <= CONTEXT

MAX_TAGS = 5
"""Of an answer whose confidences are calibrated."""

MADE = "made.json"
FILES = {"base": "base", "adapter": "adapter", "prompt": "prompt.j2"}


def make_bundle(recipe: MiniRecipe, data: Path | None, output: Path, work: Path) -> Bundle:
    """Make the bundle in `output`, which must not exist, through stages in `work`. `data` is the directory of the public sets;
    without it the model learns from synthetic rows alone and is calibrated for its own vocabulary alone. Raises `InvalidSettings`
    for an output that is there, `InvalidData` for a set that is not, before anything is trained; `EngineError` for a full disk.
    """
    if output.exists():
        raise InvalidSettings(f"{output}: something is there already; give another --output", field="output")
    check_sets(recipe, data)
    vocabulary = read_vocabulary(recipe.vocabulary)
    sets = "" if data is None else str(data.resolve())
    with disk_watched(work, "say the same again"):
        base = _stage(
            work / "base",
            f"{recipe.hash('base')} {sets}",
            lambda folder: pretrain(recipe.base, vocabulary, recipe.domains, data, folder),
        )
        adapter = _stage(
            work / "adapter",
            f"{recipe.hash('base', 'adapter')} {sets}",
            lambda folder: train_adapter(recipe.adapter, base, vocabulary, recipe.domains, data, folder),
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
    try:
        write_bundle(recipe, base, adapter, part)
        _calibrate(recipe, part, vocabulary, data, work)
        part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.load(output)


def check_sets(recipe: MiniRecipe, data: Path | None) -> None:
    """Raises `InvalidData` for a set that is unknown, or whose file is not in `data`."""
    if data is None:
        return
    for name in (*PLAIN_TEXT_SETS, *recipe.calibration.sets):
        if name not in SETS:
            raise InvalidData(f"unknown data set {name!r}; use one of {', '.join(SETS)}", field="calibration.sets")
        file = data / SETS[name][0]
        if not file.exists():
            raise InvalidData(f"{file}: there is no such file; give the directory of the public sets with --data", field="data")


def write_bundle(recipe: MiniRecipe, base: Path, adapter: Path, directory: Path) -> None:
    """Base, adapter, prompt and vocabulary in a new directory, tied by a manifest."""
    files = FILES | {"vocabulary": f"vocabulary{recipe.vocabulary.suffix.lower()}"}
    directory.mkdir()
    copy_weights(base, directory / files["base"])
    copy_adapter(adapter, directory / files["adapter"], "../base")
    shutil.copyfile(TEMPLATES / "mini.j2", directory / files["prompt"])
    shutil.copyfile(recipe.vocabulary, directory / files["vocabulary"])
    fields = {
        "name": recipe.name,
        "version": recipe.version,
        "languages": list(LANGUAGES),
        "context": SERVED_CONTEXT,
        "weights": recipe.weights.model_dump(exclude_none=True),
    }
    write_manifest(directory, fields, files)


def _stage(folder: Path, made_of: str, make: Callable[[Path], Path]) -> Path:
    """What `make` leaves in `folder`, or has left there. Raises `InvalidSettings` where it was begun with something else."""
    note = folder / MADE
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_json({"of": made_of, "result": None}, note)
    before = json.loads(note.read_text(encoding="utf-8"))
    if before["of"] != made_of:
        raise InvalidSettings(
            f"{folder}: this was begun with another recipe, vocabulary or --data; give another --work, or remove it", field="work"
        )
    if before["result"] is None:
        result = make(folder)
        save_json({"of": made_of, "result": result.name}, note)
        return result
    log.info("%s: done before", folder)
    return folder / str(before["result"])


def _calibrate(recipe: MiniRecipe, bundle: Path, vocabulary: TagVocabulary, data: Path | None, work: Path) -> None:
    """Curves for the bundle's own vocabulary, on synthetic listings of templates and wordings that are held out, and, with the
    public sets, for vocabularies that nobody knows."""
    wanted = recipe.calibration
    synthesizer = Synthesizer(vocabulary, read_domains(recipe.domains), split="test", seed=wanted.seed)
    rows = _row_file(rows_of(synthesizer, wanted.listings), work / "heldout.jsonl")
    asked = _ask(bundle, [corpus_over(rows, vocabulary)])
    keep(bundle, calibrate(asked, wanted.precision), vocabulary.hash, memory=False)
    if data and wanted.sets:
        files = [_row_file(convert(name, data).rows, work / f"{name}.jsonl") for name in wanted.sets]
        corpora = [corpus_over(file, None).limited(wanted.rows) for file in files]
        keep(bundle, calibrate(_ask(bundle, corpora), None, unseen=True), None, memory=False)


def _row_file(rows: list[Row], path: Path) -> RowFile:
    write_rows(rows, path)
    return read_file(path)


def _ask(bundle: Path, corpora: list[Corpus]) -> list[Asked]:
    def begin(corpus: Corpus) -> Tick:
        log.info("%s: %d listings are asked", corpus.test.path.name, len(corpus.gold))
        return lambda: None

    return asyncio.run(ask_corpora(corpora, partial(assemble, bundle), begin, k=MAX_TAGS))

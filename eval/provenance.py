"""Where a report comes from: the command, the inputs by hash, and what it cost. It knows files and this process, no figure."""

from __future__ import annotations

import resource
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from eval.corpus import Corpus
from eval.rows import RowFile
from hangtag.bundle import Bundle


def provenance(
    corpus: Corpus, bundle: Bundle, used: Mapping[str, Any], options: Mapping[str, Any], *, seconds: float
) -> dict[str, Any]:
    """What one needs to run it again, as JSON's types. `used` names what else answers depend on (encoder, memory); memory is the
    peak of this process, in MiB."""
    inputs: dict[str, Any] = {"test": _of(corpus.test)}
    if corpus.train is not None:
        inputs["train"] = _of(corpus.train)
    vocabulary = corpus.vocabulary
    inputs["vocabulary"] = {"name": vocabulary.name, "hash": vocabulary.hash, "tags": len(vocabulary)}
    inputs["bundle"] = {"model": bundle.model, "hash": bundle.hash}
    return {
        "command": f"hangtag {shlex.join(sys.argv[1:])}",
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "inputs": {**inputs, **used},
        "at_most": options["at_most"],
        "explanations": options["explain"],
        "seconds": round(seconds, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _of(file: RowFile) -> dict[str, Any]:
    return {"file": file.path.name, "sha256": file.sha256, "rows": len(file.rows)}

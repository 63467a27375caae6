"""Options that several commands share. They know what stands in the help, not what is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleOption = Annotated[
    Path | None, typer.Option("--bundle", metavar="DIR", help="The model's bundle (else $HANGTAG_BUNDLE, else the bundled one).")
]
VocabularyOption = Annotated[
    Path | None,
    typer.Option(
        "--vocabulary", metavar="FILE", help="Your tags: .csv, .tsv, .jsonl or .txt (else $HANGTAG_VOCABULARY or the bundle's)."
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="MODEL",
        help="A sentence-transformers model for candidate tags: hub id or directory (extra semantic).",
    ),
]
MemoryOption = Annotated[
    Path | None,
    typer.Option("--memory", metavar="DIR", help="Remembered listings, see `hangtag memory` (else $HANGTAG_MEMORY)."),
]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        min=0.0,
        max=1.0,
        help="Leave out less likely tags, but for the surest --min-tags (else 0.15, where confidences are calibrated; 0: none).",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="NAME", help="What runs the model: local, vllm or remote (else $HANGTAG_ENGINE, else local)."
    ),
]
ServersOption = Annotated[
    str | None,
    typer.Option("--servers", metavar="URL,URL", help="vLLM servers for the engine remote (else $HANGTAG_SERVERS)."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where events and listings are: sqlite:///FILE or postgresql://... (else $HANGTAG_STORE, else hangtag.db here).",
    ),
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME", help="Whose they are (else those of a server without API keys).")
]

"""`hangtag serve`: the HTTP API on an address. It knows uvicorn, no route."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import BundleOption, EncoderOption, EngineOption, MemoryOption, ServersOption, StoreOption, VocabularyOption

if TYPE_CHECKING:
    from serve.settings import Settings
    from serve.state import Services

KEEP_ALIVE_SECONDS = 75
"""Longer than proxies and load balancers keep connections that nobody uses: the end that closes one must be theirs."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (else $HANGTAG_HOST, else 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (else $HANGTAG_PORT, else 8000).")] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="API keys, see `hangtag keys` (else $HANGTAG_KEYS).", show_default=False)
    ] = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
    vocabulary: VocabularyOption = None,
    memory: MemoryOption = None,
    store: StoreOption = None,
    engine: EngineOption = None,
    servers: ServersOption = None,
) -> None:
    """Serve the HTTP API: POST /v1/suggestions, and its documentation at /docs. Without keys only this machine can ask."""
    from serve.settings import read_settings

    settings = read_settings(
        host=host,
        port=port,
        keys=keys,
        bundle=bundle,
        vocabulary=vocabulary,
        encoder=encoder,
        memory=memory,
        store=store,
        engine=engine,
        servers=servers,
    )

    import uvicorn

    from serve.app import create_app
    from serve.logs import configure_logs

    services = _services(settings)
    configure_logs(settings.log_format)
    app = create_app(services, is_local=settings.keys is None)
    gc.collect()
    gc.freeze()  # model, vocabulary and libraries stay: going over them for garbage stops everybody for a third of a second
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.deadline) + 5,  # what was taken is finished
    )


def _services(settings: Settings) -> Services:
    """What the settings name; what is cheap to check is checked before a model is loaded. Raises `InvalidSettings`."""
    from cli.console import load_suggester, messages, open_store
    from hangtag.errors import InvalidSettings
    from serve.adapter_list import read_adapters
    from serve.admission import Admission
    from serve.auth import Doorkeeper
    from serve.compiling import shared_languages
    from serve.keys import KeyFile
    from serve.loopback import is_loopback
    from serve.settings import NO_STORE
    from serve.shelf import Shelf
    from serve.state import Services
    from serve.tracing import Tracing, open_tracing

    if settings.keys is None and not is_loopback(settings.host):
        raise InvalidSettings(
            f"without keys only this machine may ask, and {settings.host} is open to others; make keys (hangtag keys add TENANT"
            " --file keys.json) and give them (--keys keys.json), or leave the host out",
            field="host",
        )
    door = Doorkeeper(KeyFile(settings.keys) if settings.keys is not None else None, settings.rate)
    if settings.bundles is not None and not settings.bundles.is_dir():
        raise InvalidSettings(f"{settings.bundles} is no directory; make it, or leave HANGTAG_BUNDLES unset", field="bundles")
    if settings.adapters is not None:
        read_adapters(settings.adapters)
    tracing = open_tracing() if settings.traces else Tracing()
    shelf = Shelf(open_store(settings) if settings.store != NO_STORE else None, facet_weights=settings.facet_weights)
    suggester = load_suggester(settings)
    for language in shared_languages(suggester.bundle, suggester.vocabulary):
        suggester.codec(language)  # a tag that can't be written is found now, and the first request does not wait for it
    if settings.keys is None:
        messages().print("There are no keys: only this machine can ask.")
    return Services(
        suggester,
        door=door,
        shelf=shelf,
        admission=Admission(settings.running, settings.waiting),
        tracing=tracing,
        bundles=settings.bundles,
        adapters=settings.adapters,
        deadline=settings.deadline,
    )

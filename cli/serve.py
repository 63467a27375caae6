"""`hangtag serve`: the HTTP API on an address. It knows uvicorn, no route."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import BundleOption, EncoderOption, EngineOption, MemoryOption, ServersOption, StoreOption, VocabularyOption


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (else $HANGTAG_HOST, else 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (else $HANGTAG_PORT, else 8000).")] = None,
    bundle: BundleOption = None,
    encoder: EncoderOption = None,
    vocabulary: VocabularyOption = None,
    memory: MemoryOption = None,
    store: StoreOption = None,
    engine: EngineOption = None,
    servers: ServersOption = None,
) -> None:
    """Serve the HTTP API: POST /v1/suggestions, and its documentation at /docs."""
    from serve.settings import read_settings

    settings = read_settings(
        host=host,
        port=port,
        bundle=bundle,
        vocabulary=vocabulary,
        encoder=encoder,
        memory=memory,
        store=store,
        engine=engine,
        servers=servers,
    )

    import logging

    import uvicorn

    from cli.console import load_suggester, open_store
    from serve.app import create_app
    from serve.compiling import shared_languages
    from serve.settings import NO_STORE
    from serve.shelf import Shelf
    from serve.state import Services

    shelf = Shelf(open_store(settings) if settings.store != NO_STORE else None)
    suggester = load_suggester(settings)
    for language in shared_languages(suggester.bundle, suggester.vocabulary):
        suggester.codec(language)  # a tag that can't be written is found now, and the first request does not wait for it
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    uvicorn.run(create_app(Services(suggester, shelf=shelf)), host=settings.host, port=settings.port, log_config=None)

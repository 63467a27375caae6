"""Any number of vLLM servers with hangtag's logits processor, as one engine: a request goes to a server that has been proven to
keep to its vocabulary, and to another if that one fails. It knows requests and answers; what servers say is for `server`,
which of them are used for `fleet`.

A request changes nothing on a server, so it can be given to another at any time: it is, where the first can't be reached, fails
or answers wrongly. It is not where pieces of its answer have been passed on, or where its caller's time is over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hangtag.bundle import Bundle, hash_path
from hangtag.errors import EngineError, InvalidAnswer, InvalidBundle, InvalidSettings
from serve.engines.adapters import AdapterNames
from serve.engines.engine import Generation, GenerationRequest, check_context
from serve.engines.fleet import CHECK_SECONDS, Fleet
from serve.engines.home import HomeLoop
from serve.engines.member import Member
from serve.engines.sampled import AnswerReader, Sampled, compared
from serve.engines.server import Server, ServerFailed, ServerRefused, ServerSilent
from serve.engines.server_metrics import merged

logger = logging.getLogger("hangtag.engines.remote")

MOST_TRIES = 3
PATIENCE = 10.0
"""Seconds: whose caller goes after waiting so long for a first word has met a server that hangs. One of many that it answers
counts for nothing; several in a row do."""
Ask = Callable[[Server, GenerationRequest, str, int], AsyncIterator[Sampled]]


class RemoteEngine:
    """Greedy. Servers find adapters under the same paths as this process, and vocabularies in their HANGTAG_VOCABULARY_DIR."""

    def __init__(self, fleet: Fleet, home: HomeLoop, context: int) -> None:
        """`fleet` belongs to `home`."""
        self._fleet, self._home, self._context = fleet, home, context
        self._adapters = AdapterNames()
        self._names: dict[str, str] = {}
        """What servers call them."""

    @classmethod
    def connect(
        cls, bundle: Bundle, servers: Sequence[str], *, key: str | None = None, check_seconds: float = CHECK_SECONDS
    ) -> RemoteEngine:
        """The engine for a bundle over the servers at these addresses, which may be down: `troubles` says which. `key` is their
        --api-key. Raises `InvalidSettings` for what is no address."""
        urls = [_address(server) for server in servers]
        if not urls:
            raise InvalidSettings("the engine remote needs servers: --servers http://HOST:PORT,http://HOST:PORT", field="servers")
        if len(set(urls)) < len(urls):
            raise InvalidSettings("a server is named twice", field="servers")
        own = {} if bundle.adapter is None else {_name(bundle.model, bundle.adapter): str(bundle.adapter)}
        home = HomeLoop("hangtag-remote")

        async def start() -> Fleet:
            fleet = Fleet([Server(url, key) for url in urls], bundle.context, check_seconds=check_seconds)
            fleet.adapters.update(own)
            fleet.own = next(iter(own), None)
            await fleet.start()
            return fleet

        return cls(home.wait(start()), home, bundle.context)

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        return await self._home.run(self._generate(request))

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
        """See `ServingEngine`."""
        return self._home.iterate(lambda: self._answer(request, Server.stream))

    async def load_adapter(self, name: str, directory: Path) -> None:
        """See `ServingEngine`."""
        await self._home.run(self._load_adapter(name, directory))

    async def unload_adapter(self, name: str) -> None:
        """See `ServingEngine`."""
        await self._home.run(self._unload_adapter(name))

    def troubles(self) -> tuple[str, ...]:
        """See `ServingEngine`."""
        return self._fleet.troubles()

    async def metrics(self) -> str:
        """See `ServingEngine`: of all servers that answer, each sample with the label `server`."""
        return await self._home.run(self._metrics())

    async def close(self) -> None:
        """See `Engine`."""
        await self._home.close(self._fleet.close())

    async def _generate(self, request: GenerationRequest) -> Generation:
        async def whole(server: Server, request: GenerationRequest, model: str, likeliest: int) -> AsyncIterator[Sampled]:
            yield await server.complete(request, model, likeliest)

        (generation,) = [piece async for piece in self._answer(request, whole)]
        return generation

    async def _answer(self, request: GenerationRequest, ask: Ask) -> AsyncIterator[Generation]:
        """The answer of the first server that gives one, in the pieces that `ask` gives."""
        check_context(request, self._context)
        AnswerReader(request)  # rules that can't be kept are nobody's failure
        with self._adapters.using(request.adapter) as adapter:
            name = self._names[adapter.name] if adapter is not None else None
            await self._fleet.prove(request.codec)
            tried: list[Member] = []
            reasons: list[str] = []
            while len(tried) < MOST_TRIES and (member := self._fleet.choose(request, tried)) is not None:
                tried.append(member)
                reader, begun, asked = AnswerReader(request), False, time.monotonic()
                try:
                    with member.busy():
                        async for sampled in ask(member.server, request, self._fleet.model_name(member, name), compared(request)):
                            piece = reader.take(sampled)
                            if piece.ids:
                                begun = True
                                yield piece
                        reader.finish()
                    member.succeeded()
                    return
                except InvalidAnswer as error:
                    reason = f"it gave an answer that is none: {error}"
                    self._fleet.leave_out(member, reason)
                except ServerFailed as error:
                    reason = str(error)
                    self._fleet.failed(member, error)
                except ServerRefused as error:
                    reason = str(error)
                except asyncio.CancelledError:
                    if not begun and time.monotonic() - asked > PATIENCE:
                        self._fleet.failed(member, ServerSilent(f"it gave no answer in {PATIENCE:g} seconds"))
                    raise
                logger.warning("%s gave no answer: %s", member.server.url, reason)
                reasons.append(f"{member.server.url}: {reason}")
                if begun:
                    raise EngineError(f"the answer broke off: {reasons[-1]}")
            raise EngineError(f"no server can answer: {'; '.join(reasons or self.troubles()) or 'there is none'}")

    async def _load_adapter(self, name: str, directory: Path) -> None:
        with self._adapters.adding(name, directory):
            theirs = await asyncio.to_thread(_name, name, directory)
            failed = await self._fleet.load(theirs, str(directory.resolve()))
            if theirs not in self._fleet.adapters:
                said = "; ".join(f"{server}: {error}" for server, error in failed.items())
                if all(isinstance(error, ServerSilent) for error in failed.values()):
                    raise EngineError(f"no server is there to load the adapter: {said or '; '.join(self.troubles())}")
                raise InvalidBundle(said)
            self._names[name] = theirs

    async def _unload_adapter(self, name: str) -> None:
        await self._adapters.remove(name).idle()
        await self._fleet.unload(self._names.pop(name))

    async def _metrics(self) -> str:
        used = [member.server for member in self._fleet.members if member.is_used]
        outcomes = await asyncio.gather(*(server.metrics() for server in used), return_exceptions=True)
        return merged({server.url: text for server, text in zip(used, outcomes, strict=True) if isinstance(text, str)})


def _address(text: str) -> str:
    """Raises `InvalidSettings`, which does not repeat what may be a password."""
    text = text.strip()
    said = repr(text) if "@" not in text else "one of them"
    try:
        url = urlsplit(text)
        is_one = url.scheme in ("http", "https") and url.hostname and url.port != 0 and not url.query and not url.fragment
    except ValueError:
        is_one = False
    if not is_one or "@" in text:
        hint = "; a server's --api-key goes into HANGTAG_SERVER_KEY" if "@" in text else ""
        raise InvalidSettings(f"{said} is no address of a server; write http://HOST:PORT{hint}", field="servers")
    return text.rstrip("/")


def _name(name: str, directory: Path) -> str:
    """What servers call an adapter: with the hash of its files, since a name that was another's would find the other's states in
    their caches."""
    return f"{name}:{hash_path(directory)[:12]}"

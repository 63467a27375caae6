"""`Suggesters`: a suggester for each bundle and tenant over one engine, and which one answers whom. Bundles come and go while
requests run; it knows no HTTP and no key.

A bundle is known by its name and version, `shop@2`, and belongs to that name for good: another bundle under a name that was given
is refused, so that an answer's `model` always says what made it. A request keeps the bundle it began with.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hangtag.bundle import Bundle
from hangtag.errors import AdapterConflict, EngineError, HangtagError, InvalidBundle, InvalidInput, UnknownAdapter
from hangtag.listing import Listing
from serve.adapter_list import AdapterList, Listed, read_adapters, write_adapters
from serve.auth import Caller
from serve.compiling import shared_languages
from serve.engines.engine import ServingEngine
from serve.metrics import Metrics
from serve.shared_engine import SharedEngine
from serve.suggester import Suggester, SuggestionRequest

log = logging.getLogger("hangtag.serve")

EVERYBODY = ""
OPERATOR = Caller("", admin=True)
_DIRECTORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


@dataclass(slots=True, eq=False)
class Served:
    """A bundle that is served. `tenants` are those who may use it, none for all; `directory` is its name among the bundles, ""
    for the one that the server began with, whose `adapter` in the engine is None."""

    suggester: Suggester
    directory: str = ""
    tenants: frozenset[str] = frozenset()
    adapter: str | None = None
    users: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.suggester.bundle.model

    def is_for(self, caller: Caller) -> bool:
        """Whether the caller may know of it."""
        return caller.admin or not self.tenants or caller.tenant in self.tenants


@dataclass(frozen=True, slots=True, eq=False)
class Missing:
    """A bundle that was served before a restart and is not now; `error` says why, None where nobody has tried yet."""

    listed: Listed
    error: HangtagError | None = None

    @property
    def may_come(self) -> bool:
        """Whether it is worth trying again: an engine's servers start in their own time, a bundle does not mend itself."""
        return self.error is None or isinstance(self.error, EngineError)


class Suggesters:
    """For one event loop. `bundles` is the only directory from which bundles are loaded, None for none; `file` keeps what is
    loaded over a restart (`restore`), None forgets it."""

    def __init__(self, base: Suggester, metrics: Metrics, *, bundles: Path | None = None, file: Path | None = None) -> None:
        self._engine = base.engine
        self._base = Served(base)
        self._metrics = metrics
        self._bundles = bundles
        self._file = file
        self._served = {self._base.name: self._base}
        self._given = {self._base.name: base.bundle.hash}
        self._missing: dict[str, Missing] = {}
        self._defaults: dict[str, str] = {}
        """Also those that are missing: they will do when they come."""
        self._loads: Counter[str] = Counter()
        self._changing = asyncio.Lock()

    def of(self, caller: Caller) -> list[Served]:
        """The bundles that a caller may use, as they were loaded."""
        return [served for served in self._served.values() if served.is_for(caller)]

    def default(self, tenant: str) -> Served:
        """The bundle of a tenant whose requests name none."""
        names = (self._defaults.get(whose) for whose in (tenant, EVERYBODY))
        return next((self._served[name] for name in names if name in self._served), self._base)

    @contextmanager
    def using(self, caller: Caller, name: str | None = None) -> Iterator[Suggester]:
        """The suggester for a request, which is not unloaded meanwhile. Raises `UnknownAdapter`."""
        served = self.default(caller.tenant) if name is None else self._find(name, caller)
        served.users += 1
        try:
            engine = SharedEngine(self._engine, self._metrics, served.adapter, caller.tenant)
            yield served.suggester.over(engine, served.suggester.memory)
        finally:
            served.users -= 1
            if not served.users:
                served.idle.set()

    async def load(self, directory: str, tenants: Sequence[str] = (), *, name: str | None = None) -> Served:
        """Serve the bundle in a directory of the bundles, for some tenants or for all. One that is served already is only given
        to these tenants. Raises `InvalidInput` for a directory that is none, `InvalidBundle` for one that can't be served
        here or has not the `name` that it should, `AdapterConflict` for a name that was another's, `EngineError`,
        `OutputError`."""
        async with self._changing:
            bundle = await asyncio.to_thread(Bundle.load, self._path(directory))
            if name not in (None, bundle.model):
                raise InvalidBundle(f"{directory} has {bundle.model} now; load that, or put {name} back")
            self._check(bundle, tenants)
            known = self._served.get(bundle.model)
            served = known or await self._start(bundle, directory)
            before, served.tenants = served.tenants, frozenset(tenants)
            try:
                self._publish({**self._served, served.name: served}, self._defaults)
            except BaseException:
                served.tenants = before
                if known is None:
                    await self._stop(served)
                raise
            log.info("%s is served", served.name)
            return served

    async def make_default(self, name: str, tenants: Sequence[str] = ()) -> Served:
        """Requests that name no bundle get this one from now on, those of some tenants or of all who have none of their own.
        Raises `UnknownAdapter`, `AdapterConflict` where it is not for them, `OutputError`."""
        async with self._changing:
            served = self._find(name, OPERATOR)
            whose = tenants or (EVERYBODY,)
            for tenant in whose:
                if served.tenants and tenant not in served.tenants:
                    raise AdapterConflict(f"{name} is not for {tenant or 'all'}; load it for them first", field="tenants")
            self._publish(self._served, {**self._defaults, **dict.fromkeys(whose, name)})
            return served

    async def unload(self, name: str) -> None:
        """Serve a bundle no longer, or look for it no longer: nobody can name it from now on, and requests that use it are
        finished first. Raises `UnknownAdapter`, `AdapterConflict` for a default, `OutputError`."""
        async with self._changing:
            served = self._find(name, OPERATOR) if name not in self._missing else None
            if served is self._base:
                raise AdapterConflict(f"{name} is what this server began with; it stays", field="adapter")
            if users := [tenant or "all" for tenant, used in self._defaults.items() if used == name]:
                whose = ", ".join(users)
                raise AdapterConflict(f"{name} is the default of {whose}; make another one their default first", field="adapter")
            left = {other: one for other, one in self._served.items() if other != name}
            self._publish(left, self._defaults, given_up=name)
        while served is not None and served.users:
            served.idle.clear()
            await served.idle.wait()
        if served is not None:
            await self._stop(served)
        log.info("%s is served no longer", name)

    async def restore(self) -> None:
        """Serve what the file says, as far as that can be; the rest is missing, and stays in the file. Raises `InvalidSettings`
        for a file that is broken."""
        file, self._file = self._file, None  # it says all of this already
        try:
            kept = read_adapters(file) if file is not None else AdapterList()
            self._given = {**kept.given, **self._given}
            self._missing = {name: Missing(listed) for name, listed in kept.loaded.items()}
            self._defaults = dict(kept.defaults)
            await self.retry()
        finally:
            self._file = file

    async def retry(self) -> None:
        """Serve what is missing and may have come, as far as that can be now."""
        for name, missing in list(self._missing.items()):
            if missing.may_come and name in self._missing:
                try:
                    await self.load(missing.listed.bundle, missing.listed.tenants, name=name)
                except HangtagError as error:
                    if name in self._missing:
                        self._missing[name] = Missing(missing.listed, error)
                        log.error("%s", self._trouble(name))

    @property
    def may_come(self) -> bool:
        """Whether it is worth to `retry`."""
        return any(missing.may_come for missing in self._missing.values())

    def troubles(self) -> list[str]:
        """A sentence for each bundle that is missing."""
        return [self._trouble(name) for name in self._missing]

    def _trouble(self, name: str) -> str:
        return f"{name} can't be served: {self._missing[name].error or 'nobody has tried yet'}"

    async def close(self) -> None:
        """Stop the engine."""
        await self._engine.close()

    def _path(self, directory: str) -> Path:
        if self._bundles is None:
            raise InvalidInput(
                "this server loads no bundles; set HANGTAG_BUNDLES to the directory where they are", field="bundle"
            )
        path = self._bundles / directory
        if not _DIRECTORY.fullmatch(directory) or path.is_symlink() or not path.is_dir():
            raise InvalidInput(f"there is no bundle {directory!r} in the directory of bundles", field="bundle")
        return path

    def _check(self, bundle: Bundle, tenants: Sequence[str]) -> None:
        mine = self._base.suggester.bundle
        if not _MODEL.fullmatch(bundle.model):
            raise InvalidBundle(f"{bundle.model!r} can't name an adapter; use letters, digits and . _ + - in its version")
        if bundle.base_id != mine.base_id:
            raise InvalidBundle(f"{bundle.model} was made for another base than {mine.model}, which this server runs")
        if bundle.adapter is None and mine.adapter is not None:
            raise InvalidBundle(f"{bundle.model} has no adapter, and this server runs its base only with one")
        if self._given.get(bundle.model, bundle.hash) != bundle.hash:
            raise AdapterConflict(
                f"the name {bundle.model} was another bundle's; every version needs one of its own", field="bundle"
            )
        if bundle.model == self._base.name:
            raise AdapterConflict(f"{bundle.model} is what this server began with; it is served to all", field="bundle")
        without = [tenant or "all" for tenant, name in self._defaults.items() if name == bundle.model and tenant not in tenants]
        if tenants and without:
            raise AdapterConflict(f"{bundle.model} is the default of {', '.join(without)}, who would lose it", field="tenants")

    async def _start(self, bundle: Bundle, directory: str) -> Served:
        """The bundle, ready to answer: proven by one answer."""
        suggester = await asyncio.to_thread(self._make, bundle)
        served = Served(suggester, directory)
        if bundle.adapter is not None:
            # the hash, since an engine's caches know an adapter by its name; the count, since an engine takes each name once
            self._loads[bundle.model] += 1
            name = f"{bundle.model}-{bundle.hash[:12]}-{self._loads[bundle.model]}"
            await self._adapters().load_adapter(name, bundle.adapter)
            served.adapter = name
        language = shared_languages(bundle, suggester.vocabulary)[0]
        probe = SuggestionRequest(Listing(title="ready?", language=language), max_tags=1, explain=False)
        try:
            await suggester.over(SharedEngine(self._engine, self._metrics, served.adapter), None).suggest(probe)
        except BaseException:
            await self._stop(served)
            raise
        return served

    async def _stop(self, served: Served) -> None:
        if served.adapter is not None:
            await self._adapters().unload_adapter(served.adapter)

    def _adapters(self) -> ServingEngine:
        if not isinstance(self._engine, ServingEngine):
            raise EngineError("this engine can't load adapters while it runs")
        return self._engine

    def _make(self, bundle: Bundle) -> Suggester:
        suggester = self._base.suggester.beside(bundle, self._engine)
        for language in shared_languages(bundle, suggester.vocabulary):
            suggester.codec(language)  # now, so that no request waits for it
        return suggester

    def _find(self, name: str, caller: Caller) -> Served:
        served = self._served.get(name)
        if served is None or not served.is_for(caller):
            raise UnknownAdapter(f"there is no adapter {name!r}; GET /v1/adapters lists those you may use", field="adapter")
        return served

    def _publish(self, served: dict[str, Served], defaults: dict[str, str], *, given_up: str = "") -> None:
        """What is served from now on, once it is kept; what is missing stays so, but for the one that is given up. Raises
        `OutputError`."""
        missing = {name: one for name, one in self._missing.items() if name not in served and name != given_up}
        given = {**self._given, **{name: one.suggester.bundle.hash for name, one in served.items()}}
        if self._file is not None:
            loaded = {name: one.listed for name, one in missing.items()}
            loaded |= {
                name: Listed(one.directory, tuple(sorted(one.tenants))) for name, one in served.items() if one is not self._base
            }
            write_adapters(AdapterList(loaded, given, defaults), self._file)
        self._served, self._given, self._defaults, self._missing = served, given, defaults, missing

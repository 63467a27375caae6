"""`Fleet`: the servers of a remote engine, looked after: admitted, proven to keep to each vocabulary, left out and taken back. It
knows which can be used for what, and not what is asked of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from hangtag.answer import AnswerCodec
from hangtag.errors import EngineError
from serve.engines.balance import choose
from serve.engines.canary import prove
from serve.engines.engine import GenerationRequest
from serve.engines.member import Member
from serve.engines.sampled import Sampled
from serve.engines.server import Server, ServerFailed, ServerGone, ServerRefused

logger = logging.getLogger("hangtag.engines.remote")

CHECK_SECONDS = 2.0
REMEMBERED_CODECS = 16
HINT = (
    "; is hangtag installed beside that vLLM, and was it started with --logits-processors"
    " serve.decoding.vllm:HangtagLogitsProcessor and without VLLM_PLUGINS?"
)
RUNTIME_ADAPTERS = "start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"


class Fleet:
    """For one event loop. `context` is what the bundle's prompts and answers may have; a server with less is not used."""

    def __init__(self, servers: Sequence[Server], context: int, *, check_seconds: float = CHECK_SECONDS) -> None:
        self.members = [Member(server) for server in servers]
        self.adapters: dict[str, str] = {}
        """Directories of the adapters that every server has to have, by the servers' names of them."""
        self.own: str | None = None
        """The one that is used where a request names none."""
        self._context = context
        self._check_seconds = check_seconds
        self._codecs: OrderedDict[str, AnswerCodec] = OrderedDict()
        self._proving: dict[tuple[int, str], asyncio.Lock] = {}
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask every server, and go on looking after them until `close`."""
        await asyncio.gather(*map(self._admit, self.members))
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        await asyncio.gather(*(member.server.close() for member in self.members))

    def troubles(self) -> tuple[str, ...]:
        return tuple(trouble for member in self.members for trouble in member.troubles())

    async def prove(self, codec: AnswerCodec) -> None:
        """See to it that it is known which servers keep to a vocabulary."""
        self._codecs[codec.compiled.hash] = codec
        self._codecs.move_to_end(codec.compiled.hash)
        if len(self._codecs) > REMEMBERED_CODECS:
            self._codecs.popitem(last=False)
        unknown = [member for member in self.members if member.is_used and member.keeps(codec.compiled.hash) is None]
        if unknown:
            await asyncio.gather(*(self._try(member, codec) for member in unknown))

    def choose(self, request: GenerationRequest, but: Sequence[Member]) -> Member | None:
        """The server for a request, none of `but`; None where there is none left."""
        hash_ = request.codec.compiled.hash
        fit = [member for member in self.members if member.is_used and member.keeps(hash_) and member not in but]
        if not fit:
            return None
        return fit[choose([one.server.url for one in fit], [one.in_flight for one in fit], request.prompt)]

    def model_name(self, member: Member, adapter: str | None) -> str:
        """What a server calls the model of a request."""
        assert member.model is not None, "a member that is used has a model"
        return adapter or self.own or member.model.base

    def leave_out(self, member: Member, reason: str) -> None:
        """Stop using a server for a while."""
        if reason != member.reason:
            logger.warning("%s is not used: %s", member.server.url, reason)
        member.leave_out(reason)

    def failed(self, member: Member, error: ServerFailed) -> None:
        """A server failed at a request."""
        if isinstance(error, ServerGone):
            self.leave_out(member, str(error))
        else:
            member.failed(str(error))

    async def load(self, name: str, directory: str) -> Mapping[str, EngineError]:
        """Have all servers that are used load an adapter; those that come later will. Gives why some can't, by their addresses;
        where not one can, the adapter is forgotten."""
        self.adapters[name] = directory
        used = [member for member in self.members if member.is_used]
        failed: dict[str, EngineError] = {}

        async def load(member: Member) -> None:
            try:
                await self._load(member, name, directory)
            except EngineError as error:
                failed[member.server.url] = error

        try:
            await asyncio.gather(*map(load, used))
        except BaseException:
            del self.adapters[name]
            raise
        if len(failed) == len(used):
            del self.adapters[name]
        else:
            for member in used:
                if member.server.url in failed:
                    member.leave_out(str(failed[member.server.url]))
        return failed

    async def unload(self, name: str) -> None:
        """Have all servers forget an adapter; one that does not will not be asked for it any more."""
        del self.adapters[name]
        for member in self.members:
            if member.is_used:
                await self._unload(member, name)

    async def _unload(self, member: Member, name: str) -> None:
        try:
            await member.server.unload_adapter(name)
        except EngineError as error:
            logger.warning("%s keeps the adapter %s: %s", member.server.url, name, error)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            await asyncio.gather(*map(self._look_at, self.members))

    async def _look_at(self, member: Member) -> None:
        if member.is_due:
            await self._admit(member)
        elif member.is_used:
            member.forget_refusals()
            try:
                await member.server.is_well()
            except EngineError as error:
                self.leave_out(member, str(error))
                return
        if member.is_used:
            await asyncio.gather(*(self._try(member, codec) for codec in list(self._codecs.values())))

    async def _admit(self, member: Member) -> None:
        """Use a server if it is what it should be."""
        try:
            await member.server.is_well()
            model = await member.server.model()
            if model.context < self._context:
                raise ServerRefused(
                    f"its context is {model.context}, the bundle's {self._context}; start it with --max-model-len {self._context}"
                )
            has = set(model.adapters)
            await self._load_missing(member, has)
            for codec in list(self._codecs.values()):
                await self._prove(member, codec, model.base)
            await self._load_missing(member, has)
        except EngineError as error:
            self.leave_out(member, str(error))
            return
        logger.info("%s is used", member.server.url)
        member.admit(model)
        for name in has - model.adapters - self.adapters.keys():
            await self._unload(member, name)

    async def _load_missing(self, member: Member, has: set[str]) -> None:
        """All adapters that a server lacks, also those that come meanwhile; `has` are those that it has."""
        while missing := [item for item in self.adapters.items() if item[0] not in has]:
            name, directory = missing[0]
            await self._load(member, name, directory)
            has.add(name)

    async def _load(self, member: Member, name: str, directory: str) -> None:
        try:
            await member.server.load_adapter(name, directory)
        except (ServerFailed, ServerRefused) as error:
            if "already been loaded" in str(error):
                return
            hint = f"; {RUNTIME_ADAPTERS}" if isinstance(error, ServerRefused) else ""
            raise type(error)(f"it can't load the adapter {name} from {directory}: {error}{hint}") from error

    async def _try(self, member: Member, codec: AnswerCodec) -> None:
        """Find out whether a server that is used keeps to a vocabulary; leave it out where it does not."""
        lock = self._proving.setdefault((id(member), codec.compiled.hash), asyncio.Lock())
        async with lock:
            if member.is_used and member.keeps(codec.compiled.hash) is None:
                assert member.model is not None
                try:
                    await self._prove(member, codec, member.model.base)
                except EngineError as error:
                    self.leave_out(member, str(error))

    async def _prove(self, member: Member, codec: AnswerCodec, base: str) -> None:
        """Raises `EngineError` where a server can't be used at all."""

        async def ask(request: GenerationRequest, likeliest: int) -> Sampled:
            return await member.server.complete(request, self.own or base, likeliest)

        try:
            await prove(ask, codec)
        except ServerRefused as error:
            member.learn(codec.compiled.hash, str(error))
        except ServerFailed:
            raise
        except EngineError as error:
            raise EngineError(f"{error}{HINT}") from error
        else:
            member.learn(codec.compiled.hash, None)

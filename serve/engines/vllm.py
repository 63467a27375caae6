"""vLLM in this process: `AsyncLLM`, with hangtag's logits processor, prefix caching and a LoRA adapter per request. It knows no
listing and no HTTP, and imports vLLM only when an engine is loaded.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hangtag.bundle import Bundle
from hangtag.compiled import CompiledVocabulary
from hangtag.errors import EngineError, InvalidBundle
from hangtag.explanation import ExplanationGrammar
from serve.engines.adapters import Adapter, AdapterNames
from serve.engines.canary import canary_codec, prove
from serve.engines.engine import Generation, GenerationRequest, check_context, most_tokens
from serve.engines.home import HomeLoop
from serve.engines.sampled import AnswerReader, Sampled, compared, extra_args
from serve.engines.vllm_start import VllmMetrics, arguments, merge, refuse_ours, start
from serve.tokenizer import HuggingFaceTokenizer

SECONDS_OF_CANARY = 120.0
SECONDS_TO_STOP = 10.0


@dataclass(frozen=True, slots=True)
class Continuation:
    """What follows a prompt, and how many of the prompt's tokens came from the cache."""

    ids: tuple[int, ...]
    cached: int


class VllmEngine:
    """Greedy. Whatever library errors there are come out as `EngineError`."""

    def __init__(
        self, llm: Any, home: HomeLoop, vocabularies: Path, context: int, at_last: Callable[[], object] = lambda: None
    ) -> None:
        """`llm` is an `AsyncLLM` that was made in `home`; `vocabularies` the directory it was told of. `at_last` is called when
        the engine is closed."""
        self._llm, self._home, self._context, self._at_last = llm, home, context, at_last
        self._vocabularies, self._written, self._writing = vocabularies, set[str](), asyncio.Lock()
        self._adapters = AdapterNames()
        self._own: Adapter | None = None
        self._numbers = itertools.count()

    @classmethod
    def load(
        cls,
        bundle: Bundle,
        tokenizer: HuggingFaceTokenizer,
        *,
        adapters: bool = True,
        vocabulary_dir: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> VllmEngine:
        """The engine for a bundle's base and adapter; without room for other `adapters` its own is merged into the base, which is
        faster. Compiled vocabularies are found in `vocabulary_dir`, and written there
        where they are missing; None is a directory that goes with the engine. `options` are further arguments of vLLM's
        `AsyncEngineArgs`. Raises `EngineError`, `InvalidSettings`, `InvalidBundle`."""
        refuse_ours(options or {})
        with ExitStack() as failing:
            temporary = tempfile.TemporaryDirectory(prefix="hangtag-vllm-")
            failing.callback(temporary.cleanup)
            directory, merged = vocabulary_dir or Path(temporary.name), None
            if bundle.adapter is not None and not adapters:
                merge(bundle, merged := Path(temporary.name) / "merged")
            home = HomeLoop("hangtag-vllm")
            failing.callback(home.stop)
            llm = home.wait(start(arguments(bundle, directory, options or {}, merged)))
            context = min(bundle.context, int(llm.model_config.max_model_len))
            engine = cls(llm, home, directory, context, temporary.cleanup)
            failing.callback(lambda: home.wait(engine._stop()))
            home.wait(engine._begin(bundle, tokenizer))
            failing.pop_all()
        return engine

    @property
    def block_size(self) -> int:
        """Tokens that the prefix cache knows together."""
        return int(self._llm.vllm_config.cache_config.block_size)

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        return await self._home.run(self._generate(request))

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
        """See `ServingEngine`."""
        return self._home.iterate(lambda: self._stream(request))

    async def unheld(self, prompt: Sequence[int], **parameters: Any) -> Continuation:
        """What the model writes after a prompt, held to nothing: what constrained answers are measured beside. `parameters` are
        more of vLLM's `SamplingParams`."""
        return await self._home.run(self._unheld(prompt, parameters))

    async def load_adapter(self, name: str, directory: Path) -> None:
        """See `ServingEngine`."""
        await self._home.run(self._load_adapter(name, directory))

    async def unload_adapter(self, name: str) -> None:
        """See `ServingEngine`."""
        await self._home.run(self._unload_adapter(name))

    def troubles(self) -> tuple[str, ...]:
        """See `ServingEngine`."""
        return ("vLLM has ended; its log says why. Restart the server",) if self._llm.errored else ()

    async def metrics(self) -> str:
        """See `ServingEngine`."""
        from prometheus_client import generate_latest

        return generate_latest(VllmMetrics()).decode()

    async def close(self) -> None:
        """See `Engine`."""
        await self._home.close(self._stop())

    async def _begin(self, bundle: Bundle, tokenizer: HuggingFaceTokenizer) -> None:
        """The bundle's adapter, and the canary with it."""
        codec = canary_codec(tokenizer, ExplanationGrammar(tokenizer))
        if bundle.adapter is not None and self._takes_adapters:
            name = f"{bundle.model}:{bundle.hash[:12]}"
            await self._load_adapter(name, bundle.adapter)
            (self._own,) = self._adapters
        try:
            async with asyncio.timeout(SECONDS_OF_CANARY):
                await prove(self._ask, codec)
        except TimeoutError as error:
            raise EngineError(f"vLLM gave no answer in {SECONDS_OF_CANARY:g} seconds") from error
        except EngineError as error:
            raise EngineError(f"vLLM is not used: {error}") from error

    async def _stop(self) -> None:
        if (listening := self._llm.output_handler) is not None:  # it would take the end for a failure
            listening.cancel()
        await asyncio.to_thread(self._llm.shutdown, SECONDS_TO_STOP)
        self._at_last()

    async def _ask(self, request: GenerationRequest, likeliest: int) -> Sampled:
        (sampled,) = [sampled async for sampled in self._held(request, likeliest, whole=True)]
        return sampled

    async def _generate(self, request: GenerationRequest) -> Generation:
        reader = AnswerReader(request, trusted=True)
        generation = reader.take(await self._ask(request, compared(request)))
        reader.finish()
        return generation

    async def _stream(self, request: GenerationRequest) -> AsyncIterator[Generation]:
        reader = AnswerReader(request, trusted=True)
        async with aclosing(self._held(request, compared(request), whole=False)) as pieces:
            async for piece in pieces:
                if piece.ids:
                    yield reader.take(piece)
        reader.finish()

    async def _unheld(self, prompt: Sequence[int], parameters: dict[str, Any]) -> Continuation:
        settings = {"temperature": 0.0, "detokenize": False, "output_kind": "FINAL_ONLY", **parameters}
        (output,) = [output async for output in self._outputs(prompt, settings)]
        return Continuation(tuple(output.outputs[0].token_ids), output.num_cached_tokens or 0)

    async def _held(self, request: GenerationRequest, likeliest: int, *, whole: bool) -> AsyncGenerator[Sampled, None]:
        """An answer as one or in pieces."""
        check_context(request, self._context)
        await self._write(request.codec.compiled)
        settings = {
            "temperature": 0.0,
            "max_tokens": most_tokens(request.codec, request.rules),
            "logprobs": likeliest,
            "flat_logprobs": True,
            "detokenize": False,
            "extra_args": dict(extra_args(request)),
            "output_kind": "FINAL_ONLY" if whole else "DELTA",
            "skip_clone": True,  # these are nobody else's, and copying what they carry takes longer than the rest of a request
        }
        async with aclosing(self._outputs(request.prompt, settings, request.adapter, request.cache_salt)) as outputs:
            async for output in outputs:
                yield replace(_sampled(output.outputs[0]), cached=output.num_cached_tokens)

    async def _outputs(
        self, prompt: Sequence[int], settings: dict[str, Any], adapter_name: str | None = None, salt: str = ""
    ) -> AsyncGenerator[Any, None]:
        """vLLM's outputs of one request; leaving early aborts it. All errors are ours."""
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        kind = RequestOutputKind[settings.pop("output_kind")]
        with self._adapters.using(adapter_name) as adapter:
            outputs = self._llm.generate(
                tokens_input(list(prompt), cache_salt=salt or None),
                SamplingParams(output_kind=kind, **settings),
                f"hangtag-{next(self._numbers)}",
                lora_request=_lora(adapter or self._own),
            )
            try:
                async with aclosing(outputs):
                    async for output in outputs:
                        yield output
            except Exception as error:
                raise self._translated(error) from error

    def _translated(self, error: Exception) -> EngineError:
        if self._llm.errored:
            return EngineError(self.troubles()[0])
        return EngineError(f"vLLM can't answer: {type(error).__name__}: {error.__cause__ or error}")

    async def _write(self, compiled: CompiledVocabulary) -> None:
        """See to it that the workers find a vocabulary."""
        if compiled.hash in self._written:
            return
        async with self._writing:
            if not (self._vocabularies / f"{compiled.hash}.npz").exists():
                try:
                    await asyncio.to_thread(compiled.save, self._vocabularies)
                except OSError as error:
                    raise EngineError(f"{self._vocabularies}: a vocabulary can't be written: {error.strerror}") from error
            self._written.add(compiled.hash)

    @property
    def _takes_adapters(self) -> bool:
        return self._llm.vllm_config.lora_config is not None

    async def _load_adapter(self, name: str, directory: Path) -> None:
        if not self._takes_adapters:
            raise EngineError("vLLM was started without room for adapters; set HANGTAG_BUNDLES and restart the server")
        with self._adapters.adding(name, directory) as adapter:
            try:
                await self._llm.add_lora(_lora(adapter))
            except Exception as error:
                if self._llm.errored:
                    raise self._translated(error) from error
                raise InvalidBundle(f"{directory}: the adapter does not fit the engine's base: {error}") from error

    async def _unload_adapter(self, name: str) -> None:
        adapter = self._adapters.remove(name)
        await adapter.idle()
        try:
            await self._llm.remove_lora(adapter.number)
        except Exception as error:
            raise self._translated(error) from error


def _lora(adapter: Adapter | None) -> Any:
    from vllm.lora.request import LoRARequest

    return None if adapter is None else LoRARequest(adapter.name, adapter.number, str(adapter.directory.resolve()))


def _sampled(output: Any) -> Sampled:
    if output.finish_reason not in (None, "stop"):
        raise EngineError(f"vLLM ended an answer early ({output.finish_reason})")
    if not output.token_ids:
        return Sampled((), (), ())
    flat = output.logprobs
    spans = list(zip(flat.start_indices, flat.end_indices, strict=True))[-len(output.token_ids) :]
    likeliest = [dict(zip(flat.token_ids[begin:end], flat.logprobs[begin:end], strict=True)) for begin, end in spans]
    ids = list(output.token_ids)
    return Sampled(ids, [at[token] for token, at in zip(ids, likeliest, strict=True)], likeliest)

"""What is counted and timed of a server, for Prometheus, under vLLM's names with our own prefix. It knows numbers and no text of
anybody.

`hangtag:` takes the place of `vllm:` where both mean the same, so that what is drawn for one can be drawn for the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from hangtag.errors import HangtagError
from hangtag.suggestion import Suggestion
from serve.admission import Admission

PREFIX = "hangtag:"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
TAGS = (0, 1, 2, 3, 4, 5, 7, 10, 15, 20)

_arrival: ContextVar[float] = ContextVar("arrival")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one answer. `cached` are those of the prompt that came from the engine's cache; None where it does not say."""

    prompt: int
    generated: int
    cached: int | None = None


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, admission: Admission) -> None:
        self.registry = registry = CollectorRegistry()

        def histogram(name: str, what: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
            return Histogram(PREFIX + name, what, buckets=buckets, registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(PREFIX + name, what, labels, registry=registry)

        running = Gauge(f"{PREFIX}num_requests_running", "Requests that are worked on.", registry=registry)
        running.set_function(lambda: admission.running)
        waiting = Gauge(f"{PREFIX}num_requests_waiting", "Requests that wait for their turn.", registry=registry)
        waiting.set_function(lambda: admission.waiting)
        self._latency = histogram("e2e_request_latency_seconds", "From a request's arrival to its answer.")
        self._queue = histogram("request_queue_time_seconds", "How long a request waited for its turn.")
        self._first_token = histogram(
            "time_to_first_token_seconds", "From arrival to the first token, of answers that are streamed."
        )
        self._engine = histogram("request_inference_time_seconds", "How long the engine took for an answer.")
        self._prompt = counter("prompt_tokens", "Tokens of prompts.")
        self._generated = counter("generation_tokens", "Tokens of answers.")
        self._looked_up = counter("prefix_cache_queries", "Tokens of prompts of which the engine says whether they were cached.")
        self._cached = counter("prefix_cache_hits", "Tokens of prompts that came from the engine's cache.")
        self._succeeded = counter("request_success", "Requests that were answered.")
        self._failed = counter("request_failures", "Requests that were not, by the kind of error.", "error")
        self._suggestions = counter("suggestions", "Answers, by model and language.", "model_name", "language")
        self._abstentions = counter("abstentions", "Answers without a tag.", "model_name")
        self._tags = histogram("suggestion_tags", "Tags of an answer.", TAGS)
        self._auto = counter("auto_tags", "Tags that keep the promised precision.", "model_name")

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around all of a request: how long it took, and how it ended."""
        begun = time.perf_counter()
        token = _arrival.set(begun)
        try:
            yield
        except HangtagError as error:
            self._failed.labels(type(error).__name__).inc()
            raise
        except Exception:
            self._failed.labels("InternalError").inc()
            raise
        else:
            self._succeeded.inc()
            self._latency.observe(time.perf_counter() - begun)
        finally:
            _arrival.reset(token)

    def waited(self, seconds: float) -> None:
        """A request had its turn."""
        self._queue.observe(seconds)

    def first_token(self) -> None:
        """The first token of the request that is being worked on is there."""
        if (arrived := _arrival.get(None)) is not None:
            self._first_token.observe(time.perf_counter() - arrived)

    def generated(self, tokens: Tokens, seconds: float) -> None:
        """The engine gave an answer."""
        self._prompt.inc(tokens.prompt)
        self._generated.inc(tokens.generated)
        self._engine.observe(seconds)
        if tokens.cached is not None:
            self._looked_up.inc(tokens.prompt)
            self._cached.inc(tokens.cached)

    def suggested(self, suggestion: Suggestion) -> None:
        """An answer was made of it."""
        model = suggestion.model
        self._suggestions.labels(model, suggestion.language).inc()
        self._tags.observe(len(suggestion.tags))
        self._auto.labels(model).inc(sum(found.auto for found in suggestion.tags))
        if not suggestion.tags:
            self._abstentions.labels(model).inc()

    def text(self) -> str:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry).decode()

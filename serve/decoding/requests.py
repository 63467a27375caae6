"""What a request for an answer carries to a vLLM server, as values that its JSON takes: the ONE writer and the ONE reader.
It knows names, types and limits; whether the rules can be kept is for `AnswerConstraint`.

The values travel in `SamplingParams.extra_args`, over HTTP in `vllm_xargs`, and are strings, numbers or lists of them. A
request without any of these names is somebody else's, and reads as None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hangtag.compiled import CompiledVocabulary
from hangtag.constraint import AnswerConstraint
from hangtag.errors import InvalidInput, InvalidRules, InvalidVocabulary
from hangtag.evidence import Evidence
from hangtag.explanation import ExplanationGrammar
from hangtag.listing import MAX_CHARACTERS
from hangtag.prior import MOST_NATS, TagPrior
from hangtag.quotes import QuotableText
from hangtag.rules import AnswerRules

PREFIX = "hangtag_"
VOCABULARY = "hangtag_vocabulary"
RULES = "hangtag_rules"
LISTING = "hangtag_listing"
PRIOR_TAGS = "hangtag_prior_tags"
PRIOR_WEIGHTS = "hangtag_prior_weights"
EVIDENCE_TAGS = "hangtag_evidence_tags"
EVIDENCE_SPANS = "hangtag_evidence_spans"
EVIDENCE_WEIGHT = "hangtag_evidence_weight"
MOST_WEIGHT = float(MOST_NATS)
"""Nats; more than any evidence, and far from where float32 loses hundredths or ends."""
NAMES = (VOCABULARY, RULES, LISTING, PRIOR_TAGS, PRIOR_WEIGHTS, EVIDENCE_TAGS, EVIDENCE_SPANS, EVIDENCE_WEIGHT)

Value = str | int | float | list[str] | list[int] | list[float]


@dataclass(frozen=True, slots=True)
class DecodingRequest:
    """What decides how one answer is decoded. `vocabulary` is the hash of a compiled vocabulary, `listing` are the lines that
    the explanation may quote."""

    vocabulary: str
    rules: AnswerRules = field(default_factory=AnswerRules)
    listing: tuple[str, ...] = ()
    prior: TagPrior = field(default_factory=TagPrior)
    evidence: Evidence = field(default_factory=Evidence)

    def constraint(self, compiled: CompiledVocabulary, grammar: ExplanationGrammar) -> AnswerConstraint:
        """The constraint of the answer. Raises `InvalidVocabulary` where the vocabulary was compiled for another tokenizer
        than the grammar's, `InvalidRules` where the rules can't be kept or a tag is out of range."""
        if compiled.tokenizer_hash != grammar.tokenizer_hash:
            raise InvalidVocabulary(
                f"the vocabulary {self.vocabulary[:12]} was compiled for another tokenizer ({compiled.tokenizer_hash[:12]}) than"
                f" the model's ({grammar.tokenizer_hash[:12]}); compile it for this model (hangtag vocabulary compile)",
                field=VOCABULARY,
            )
        for tag in self.evidence.spans:
            if not 0 <= tag < len(compiled):
                raise InvalidRules(f"the evidence names tag {tag}, the vocabulary has {len(compiled)} tags", field=EVIDENCE_TAGS)
        return AnswerConstraint(compiled, self.rules, QuotableText(self.listing, grammar), self.prior, self.evidence)


def write(request: DecodingRequest) -> dict[str, Value]:
    """The values of a request; what says nothing is left out. Raises `InvalidInput` for what `read` would refuse."""
    rules = request.rules
    plain = {
        "min_tags": rules.min_tags,
        "max_tags": rules.max_tags,
        "explain": rules.explain,
        "max_explanation_tokens": rules.max_explanation_tokens,
        "banned": sorted(rules.banned),
        "only": None if rules.only is None else sorted(rules.only),
        "facet_limits": dict(rules.facet_limits),
        "exclusions": [sorted(group) for group in rules.exclusions],
        "parent_or_child": rules.parent_or_child,
    }
    values: dict[str, Value] = {VOCABULARY: request.vocabulary, RULES: json.dumps(plain, ensure_ascii=False)}
    if request.listing:
        values[LISTING] = list(request.listing)
    if request.prior.weights:
        values[PRIOR_TAGS] = list(request.prior.weights)
        values[PRIOR_WEIGHTS] = [float(weight) for weight in request.prior.weights.values()]
    if request.evidence.spans:
        values[EVIDENCE_TAGS] = list(request.evidence.spans)
        values[EVIDENCE_SPANS] = list(request.evidence.spans.values())
    if request.evidence.weight:
        values[EVIDENCE_WEIGHT] = float(request.evidence.weight)
    read(values)
    return values


def is_ours(values: Mapping[str, Any] | None) -> bool:
    """Whether values are meant for hangtag, rightly written or not."""
    return any(name.startswith(PREFIX) for name in values or ())


def read(values: Mapping[str, Any] | None) -> DecodingRequest | None:
    """The request that `values` hold, None where they are somebody else's. Raises `InvalidInput` that names the value: an
    unknown name, a wrong type, a number that is not finite, more text than a listing may have, lists that do not fit."""
    ours = {name: value for name, value in (values or {}).items() if name.startswith(PREFIX)}
    if not ours:
        return None
    if unknown := sorted(ours.keys() - set(NAMES)):
        raise InvalidInput(f"{unknown[0]} is no parameter of hangtag; there are {', '.join(NAMES)}", field=unknown[0])
    if VOCABULARY not in ours:
        raise InvalidInput(f"{min(ours)} says nothing without {VOCABULARY}", field=VOCABULARY)
    weights = _list(PRIOR_WEIGHTS, ours.get(PRIOR_WEIGHTS, []), _number)
    spans = _short(EVIDENCE_SPANS, _list(EVIDENCE_SPANS, ours.get(EVIDENCE_SPANS, []), _text))
    return DecodingRequest(
        vocabulary=_text(VOCABULARY, ours[VOCABULARY]),
        rules=_rules(ours[RULES]) if RULES in ours else AnswerRules(),
        listing=_short(LISTING, _list(LISTING, ours.get(LISTING, []), _text)),
        prior=TagPrior(_by_tag(ours, PRIOR_TAGS, PRIOR_WEIGHTS, weights)),
        evidence=Evidence(
            _by_tag(ours, EVIDENCE_TAGS, EVIDENCE_SPANS, spans), _number(EVIDENCE_WEIGHT, ours.get(EVIDENCE_WEIGHT, 0.0))
        ),
    )


def _rules(text: object) -> AnswerRules:
    try:
        plain = json.loads(_text(RULES, text), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # ValueError: also for whole numbers of thousands of digits
        raise InvalidInput(f"{RULES} is no JSON: {error}", field=RULES) from error
    if not isinstance(plain, dict):
        raise InvalidInput(f"{RULES} must be a JSON object", field=RULES)
    readers: dict[str, Callable[[str, Any], Any]] = {
        "min_tags": _count,
        "max_tags": _count,
        "explain": _flag,
        "max_explanation_tokens": _count,
        "banned": _tags,
        "only": lambda name, value: None if value is None else _tags(name, value),
        "facet_limits": _limits,
        "exclusions": lambda name, value: _list(name, value, _tags),
        "parent_or_child": _flag,
    }
    for name in plain:
        if name not in readers:
            raise InvalidInput(f"{RULES} has {name!r}, which is no rule; there are {', '.join(readers)}", field=RULES)
    return AnswerRules(**{name: readers[name](f"{RULES}.{name}", value) for name, value in plain.items()})


def _by_tag(values: Mapping[str, Any], tags_name: str, others_name: str, others: Sequence[Any]) -> dict[int, Any]:
    tags = _list(tags_name, values.get(tags_name, []), _count)
    if len(tags) != len(others):
        raise InvalidInput(f"{tags_name} has {len(tags)} entries and {others_name} has {len(others)}", field=tags_name)
    if len(set(tags)) != len(tags):
        raise InvalidInput(f"{tags_name} names a tag twice", field=tags_name)
    return dict(zip(tags, others, strict=True))


def _list(name: str, value: object, entry: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"{name} must be a list, it is {_kind(value)}", field=name)
    return tuple(entry(f"{name}[{position}]", one) for position, one in enumerate(value))


def _tags(name: str, value: object) -> frozenset[int]:
    return frozenset(_list(name, value, _count))


def _limits(name: str, value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be an object of facets and numbers, it is {_kind(value)}", field=name)
    return {_text(name, facet): _count(f"{name}.{facet}", limit) for facet, limit in value.items()}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text, it is {_kind(value)}", field=name)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} is no valid Unicode: {error.reason}", field=name) from error
    return value


def _short(name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    if (length := sum(map(len, texts)) + len(texts)) > 2 * MAX_CHARACTERS:
        raise InvalidInput(f"{name} has {length:,} characters, at most {2 * MAX_CHARACTERS:,} are allowed", field=name)
    return texts


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise InvalidInput(f"{name} must be a whole number from 0 on, it is {_kind(value)}", field=name)
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidInput(f"{name} must be a number, it is {_kind(value)}", field=name)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= MOST_WEIGHT:  # not a number is refused too
        raise InvalidInput(f"{name} is {number}; it must be between -{MOST_WEIGHT:,.0f} and {MOST_WEIGHT:,.0f}", field=name)
    return number


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} must be true or false, it is {_kind(value)}", field=name)
    return value


def _kind(value: object) -> str:
    return repr(value)[:60] if isinstance(value, int | float | str | None) else type(value).__name__


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidInput(f"{RULES} says something twice", field=RULES)
    return made


def _refuse_constant(text: str) -> NoReturn:
    raise InvalidInput(f"{RULES} has {text}; numbers are finite", field=RULES)

"""`Suggester`: the whole use case, from a listing to tags and a reason. Everything that answers enters here, so what is measured
is what is served; it knows no HTTP, no files and no model library.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from hangtag.answer import AnswerCodec
from hangtag.bundle import Bundle
from hangtag.errors import InvalidRules, UnknownLanguage
from hangtag.evidence import Evidence, stated_span
from hangtag.explanation import ExplanationGrammar
from hangtag.history import InterestProfile
from hangtag.listing import Listing
from hangtag.prior import TagPrior
from hangtag.rules import AnswerRules
from hangtag.suggestion import Suggestion, TagSuggestion, readable, with_interests
from hangtag.tag_rules import TagRules
from hangtag.text import match_language
from hangtag.vocabulary import TagVocabulary
from prompts.render import PromptTemplate, PromptValues
from serve.candidates import Candidate, Candidates, candidate_prior
from serve.compiling import CompiledFiles
from serve.confidence import Confidence, confidence_by, confident, leads, path_log_probabilities
from serve.cutting import cut_listing, cut_notice
from serve.engines.engine import Engine, Generation, GenerationRequest, most_tokens, pieces_of
from serve.memory import Estimates, Memory
from serve.pace import Pace
from serve.tokenizer import HuggingFaceTokenizer

DEFAULT_MAX_TAGS = 5
LEAST_PROMPT_TOKENS = 64
"""Room that the longest possible answer has to leave for instruction and listing."""

OWN_TRUST, OTHER_TRUST = 1.0, 16.0
"""How often the memory's log-odds count against the model's log-probability, if nobody fitted it: for tags that the model was
trained on, and for others, of which it says next to nothing, or where a memory leads."""

LEAST_CONFIDENCE = 0.15
"""Of a tag, unless the request says another: of those below, six out of seven or more are wrong."""

MOST_INTERESTS = 256
"""Of a user, the strongest: what an answer costs must not depend on what somebody sends as their history."""

MOST_NAMED = 32
"""Candidate tags that the prompt names, as many as in training."""

USUAL_CHARACTERS = 4_000
"""Of a listing that is not called long."""

NO_RULES = TagRules()


@dataclass(frozen=True, slots=True)
class SuggestionRequest:
    """What is asked for. `max_tags` None means five, or as many as vocabulary and rules have room for. `personalise`, 0 to 1, is
    how much the profile counts: its weights in the decoder, and how strong an interest has to be for the prompt to name it.
    Tags of less than `min_confidence` are left out, but for the `min_tags` surest; None: LEAST_CONFIDENCE, where confidences are
    calibrated. `hold_out`: as if the memory did not know the listing (by its id) and its product, for measuring. Raises
    `InvalidRules`."""

    listing: Listing
    profile: InterestProfile = field(default_factory=InterestProfile)
    personalise: float = 1.0
    min_tags: int = 1
    max_tags: int | None = None
    explain: bool = True
    rules: TagRules = field(default_factory=TagRules)
    min_confidence: float | None = None
    hold_out: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.personalise <= 1:
            raise InvalidRules(f"personalise is {self.personalise}; use a number between 0 and 1", field="personalise")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise InvalidRules(f"min_confidence is {self.min_confidence}; use a number between 0 and 1", field="min_confidence")


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request on its way: what the engine is asked, what it would be asked if nothing were known of the user, and what the
    answer is made of besides. `liked` are the tags that the user's interests speak for; `least` is the confidence below which
    tags are left out."""

    generation: GenerationRequest
    impersonal: Callable[[], GenerationRequest]
    liked: frozenset[int]
    confidence: Confidence
    least: float
    notices: tuple[str, ...]


class Suggester:
    """Suggests tags of one vocabulary with one bundle's model."""

    def __init__(
        self,
        bundle: Bundle,
        vocabulary: TagVocabulary,
        tokenizer: HuggingFaceTokenizer,
        engine: Engine,
        candidates: Candidates,
        *,
        compiled: CompiledFiles | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.bundle = bundle
        self.vocabulary = vocabulary
        self.engine = engine
        self._tokenizer = tokenizer
        self.candidates = candidates
        self.memory = memory
        self._template = PromptTemplate.read(bundle.prompt_file)
        self._grammar = ExplanationGrammar(tokenizer)
        self._compiled = compiled
        self._codecs: dict[str, AnswerCodec] = {}
        self._is_own = vocabulary.hash == bundle.vocabulary.hash
        self._pace = Pace()

    @property
    def identity(self) -> str:
        """Equal for suggesters that answer the same request alike: bundle, vocabulary, encoder and memory."""
        remembered = self.memory.identity if self.memory is not None else ""
        return f"{self.bundle.hash}:{self.vocabulary.hash}:{self.candidates.encoder_name}:{remembered}"

    async def suggest(self, request: SuggestionRequest) -> Suggestion:
        """The answer to one request. Raises `InvalidInput` of some kind for what can't be asked, `EngineError`."""
        asked = await self._asked(request)
        generation = await self.engine.generate(asked.generation)
        return self._answer(asked, generation, await self._owed(asked, generation))

    async def stream(self, request: SuggestionRequest) -> AsyncGenerator[TagSuggestion | Suggestion, None]:
        """The tags of an answer as they are decided, then the answer, which has them all. From an engine that gives no pieces
        they come when the answer is there. Raises what `suggest` raises; leaving the iteration (`aclose`) stops the work."""
        asked = await self._asked(request)
        whole, given = Generation((), ()), 0
        async with aclosing(pieces_of(self.engine, asked.generation)) as pieces:
            async for piece in pieces:
                whole = whole + piece
                if asked.generation.codec.separator_id in piece.ids:
                    decided = self._tags(asked, whole)
                    for found in decided[given:]:
                        if found.confidence >= asked.least:
                            yield found
                    given = len(decided)
        yield self._answer(asked, whole, await self._owed(asked, whole))

    async def _asked(self, request: SuggestionRequest) -> _Asked:
        """See `_ask`, wherever it is in nobody's way."""
        return await self._pace.run(lambda: self._ask(request), usual=self._is_usual(request))

    def _is_usual(self, request: SuggestionRequest) -> bool:
        """Whether `_ask` has nothing to do for a request that it did not have for those before: rules of its own, or a text that
        is longer than most."""
        own = request.min_tags != 1 or request.rules != NO_RULES
        return not own and len(request.listing.text()) <= USUAL_CHARACTERS and bool(self._codecs)

    def _ask(self, request: SuggestionRequest) -> _Asked:
        """What the engine is to be asked. An encoder takes its time, and so do the oddest rules of 100,000 tags."""
        language = self._language(request.listing)
        codec = self.codec(language)
        rules, left, unwritable = self._rules(request, codec)
        found = self.candidates.find(request.listing, among=left)
        remembered = self._remembered(request, found, left)
        if remembered and self._leads(remembered):  # the model can't tell when to stop among tags it never saw
            rules = replace(rules, max_tags=max(rules.min_tags, 1, min(rules.max_tags, remembered.believed)))
        profile = request.profile.within(left).strongest(MOST_INTERESTS) if request.personalise else InterestProfile()
        spoken = profile.convincing(request.personalise) if request.personalise else profile
        named = remembered.likeliest(MOST_NAMED) if remembered else [candidate.tag for candidate in found]
        listing, prompt = self._prompt(request.listing, spoken, codec, rules, named)
        beside = self._prior(found, remembered)
        interests = profile.prior().scaled(self.bundle.weights.interests * request.personalise)
        generation = GenerationRequest(
            prompt=tuple(prompt),
            codec=codec,
            rules=rules,
            quotable=tuple(listing.quotable()),
            prior=(beside + interests).within(left),
            evidence=self._evidence(found, listing, language),
        )

        def impersonal() -> GenerationRequest:
            prompt = self._prompt(listing, InterestProfile(), codec, rules, named)[1]
            return replace(generation, prompt=tuple(prompt), prior=beside.within(left))

        notices = [] if listing is request.listing else [cut_notice(request.listing, listing)]
        if unwritable:
            notices.append(self._unwritable_notice(unwritable, rules.max_tags))
        confidence = confidence_by(self.bundle, self.vocabulary.hash, self._words(found), remembered)
        liked = frozenset(tag for tag, weight in profile.weights.items() if weight > 0)
        least = LEAST_CONFIDENCE if confidence.curve is not None else 0.0
        if request.min_confidence is not None:
            least = request.min_confidence
        return _Asked(generation, impersonal, liked, confidence, least, tuple(notices))

    async def _owed(self, asked: _Asked, generation: Generation) -> frozenset[int]:
        """The tags of an answer that it owes to the user's interests: liked ones that would not be in it if nothing were known of
        the user. Only an answer that has liked tags is worth the question, which ends with its last tag. What the prior changed
        token by token (`hangtag.influence`) would say too much: that a tag came earlier, or that the words brought it."""
        codec = asked.generation.codec
        suspects = asked.liked and asked.liked.intersection(codec.decided(generation.ids))
        if not suspects:
            return frozenset()
        ids: tuple[int, ...] = ()
        async with aclosing(pieces_of(self.engine, await asyncio.to_thread(asked.impersonal))) as pieces:
            async for piece in pieces:
                ids += piece.ids
                if codec.has_all_tags(ids) or len(codec.decided(ids)) == asked.generation.rules.max_tags:
                    break
        return suspects.difference(codec.decided(ids))

    def _answer(self, asked: _Asked, generation: Generation, owed: frozenset[int]) -> Suggestion:
        codec = asked.generation.codec
        answer = codec.read(generation.ids)
        judged = self._tags(asked, generation)
        kept = confident([found.confidence for found in judged], asked.least, asked.generation.rules.min_tags)
        tags = tuple(replace(judged[place], owed_to_interests=answer.tags[place] in owed) for place in kept)
        labels = [found.label for found in tags if found.owed_to_interests]
        said = readable(answer.explanation, codec.language)
        return Suggestion(
            tags=tags,
            explanation=with_interests(said, labels, codec.language) if asked.generation.rules.explain else "",
            language=codec.language,
            model=self.bundle.model,
            vocabulary_name=self.vocabulary.name,
            vocabulary_hash=self.vocabulary.hash,
            notices=asked.notices,
            is_calibrated=asked.confidence.curve is not None,
            promise=asked.confidence.promise,
        )

    def _tags(self, asked: _Asked, generation: Generation) -> tuple[TagSuggestion, ...]:
        """The tags that are decided so far."""
        codec = asked.generation.codec
        tags = codec.decided(generation.ids)
        judged = map(asked.confidence.judge, tags, count(1), path_log_probabilities(generation, codec))
        return tuple(
            TagSuggestion(self.vocabulary.tags[tag], codec.written[tag], judgement.confidence, judgement.auto, judgement.clues)
            for tag, judgement in zip(tags, judged, strict=True)
        )

    def over(self, engine: Engine, memory: Memory | None) -> Suggester:
        """The same over another engine and memory; what was made of bundle and vocabulary is shared."""
        other = copy(self)
        other.engine, other.memory = engine, memory
        return other

    def beside(self, bundle: Bundle, engine: Engine) -> Suggester:
        """The suggester of another bundle of the same base, over that bundle's own vocabulary; tokenizer, encoder and compiled
        files are shared, and so is what is remembered, as far as the vocabulary has the tags. Raises what a bundle's prompt and
        vocabulary may."""
        vocabulary = bundle.vocabulary
        candidates = Candidates(vocabulary, encoder=self.candidates.encoder)
        memory = self.memory.over(vocabulary) if self.memory is not None else None
        return Suggester(bundle, vocabulary, self._tokenizer, engine, candidates, compiled=self._compiled, memory=memory)

    def codec(self, language: str) -> AnswerCodec:
        """The codec of the vocabulary in `language`, built once; from a compiled file where there is one. Raises
        `InvalidVocabulary` for a tag that the tokenizer can't write and a file that is broken."""
        if language not in self._codecs:
            known = self._compiled.find(self.vocabulary, language, self._tokenizer) if self._compiled is not None else None
            self._codecs[language] = AnswerCodec(self._tokenizer, self.vocabulary, language, self._grammar, known)
        return self._codecs[language]

    def _language(self, listing: Listing) -> str:
        wanted = listing.resolved_language()
        language = match_language(wanted, self.bundle.languages)
        if language is None:
            known = ", ".join(self.bundle.languages)
            raise UnknownLanguage(f"{self.bundle.model} does not answer in {wanted!r}; use one of: {known}", field="language")
        return language

    def _rules(self, request: SuggestionRequest, codec: AnswerCodec) -> tuple[AnswerRules, NDArray[np.bool_], int]:
        """The rules of the answer, which tags they leave, (tags of the vocabulary,), and how many of the others are only too long
        for the model's context."""
        most = request.max_tags
        if most is None:
            most = max(min(DEFAULT_MAX_TAGS, len(self.vocabulary)), request.min_tags)
        try:
            rules = request.rules.answer_rules(self.vocabulary, min_tags=request.min_tags, max_tags=most, explain=request.explain)
            ruled = codec.compiled.branches(rules).ruled
        except InvalidRules as error:
            if error.field is not None and error.field.partition("[")[0] in TagRules.__slots__:
                error.field = f"rules.{error.field}"
            raise
        if request.max_tags is None:
            rules = replace(rules, max_tags=max(min(most, ruled.room), request.min_tags))
        unwritable = ruled.too_long(rules, self.bundle.context - LEAST_PROMPT_TOKENS)
        if unwritable:
            rules = replace(rules, banned=rules.banned | unwritable)
            ruled = codec.compiled.branches(rules).ruled
        return rules, ruled.trie.tag_leaf >= 0, len(unwritable)

    def _remembered(self, request: SuggestionRequest, found: list[Candidate], left: NDArray[np.bool_]) -> Estimates | None:
        """What the memory makes of the tags that are left; None without one, or where it holds nothing."""
        if self.memory is None or not len(self.memory):
            return None
        return self.memory.estimates(request.listing, found, hold_out=request.hold_out).within(left)

    def _prior(self, found: list[Candidate], remembered: Estimates | None) -> TagPrior:
        """Evidence beside the model, whoever asks. A memory weighs words too, so where it leads it replaces theirs; elsewhere the
        model knows the vocabulary, and the memory speaks beside both."""
        words = self._words(found)
        if remembered and self._leads(remembered):
            return remembered.prior(OTHER_TRUST)
        if not self._is_own:
            return words.scaled(self.bundle.weights.other_candidates)
        own = words.scaled(self.bundle.weights.own_candidates)
        return own + remembered.prior(self.bundle.weights.own_memory or OWN_TRUST, remembered.enough) if remembered else own

    def _leads(self, remembered: Estimates) -> bool:
        return leads(self.bundle, self._is_own, remembered)

    def _words(self, found: list[Candidate]) -> TagPrior:
        """What the words of the listing say of its tags, before the bundle's weights for it."""
        return candidate_prior(found, stated=self.bundle.weights.own_stated if self._is_own else 0.0)

    def _evidence(self, found: list[Candidate], listing: Listing, language: str) -> Evidence:
        stated = (candidate.tag for candidate in found if candidate.stated)
        spans = {tag: stated_span(listing, self.vocabulary.tags[tag].wordings(language)) for tag in stated}
        return Evidence({tag: span for tag, span in spans.items() if span}, self.bundle.weights.evidence)

    def _prompt(
        self, whole: Listing, profile: InterestProfile, codec: AnswerCodec, rules: AnswerRules, named: list[int]
    ) -> tuple[Listing, list[int]]:
        """The listing, cut where it has to be, and the ids of the prompt, which names candidate tags by number."""

        def ids(listing: Listing) -> list[int]:
            values = PromptValues(
                language=codec.language,
                lines=listing.lines(),
                candidates=[codec.written[tag] for tag in named],
                interests=profile.summary(self.vocabulary, codec.language),
                min_tags=rules.min_tags,
                max_tags=rules.max_tags,
                explain=rules.explain,
            )
            return self._tokenizer.conversation(self._template.render(values))

        room = self.bundle.context - most_tokens(codec, rules)
        prompt = ids(whole)
        if len(prompt) <= room:
            return whole, prompt
        listing = cut_listing(whole, lambda shorter: len(ids(shorter)) <= room)
        return listing, ids(listing)

    @staticmethod
    def _unwritable_notice(unwritable: int, tags: int) -> str:
        return (
            f"{unwritable:,} of the vocabulary's tags can't be suggested: with {tags} tags in an answer their labels are too long"
            " for the model's context"
        )

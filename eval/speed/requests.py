"""Requests for engines as the `Suggester` makes them, from made-up listings and vocabularies of any size. It knows no engine: it
listens in the place of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.speed.tags import FEWEST_TAGS, make_samples, make_vocabulary
from hangtag.bundle import Bundle
from hangtag.errors import Cancelled
from hangtag.history import InterestProfile
from hangtag.listing import Listing
from hangtag.vocabulary import TagVocabulary
from serve.candidates import Candidates
from serve.engines.engine import Generation, GenerationRequest
from serve.suggester import Suggester, SuggestionRequest
from serve.tokenizer import HuggingFaceTokenizer

TAGS = 5
INTERESTS = 3


@dataclass(frozen=True)
class Asked:
    """Requests of one kind: answers of TAGS tags of a vocabulary, explained or not."""

    explains: bool
    vocabulary: TagVocabulary
    requests: Sequence[GenerationRequest]


class Listener:
    """Takes the place of an engine, keeps what it is asked, and answers nothing."""

    def __init__(self) -> None:
        self.heard: GenerationRequest | None = None

    async def generate(self, request: GenerationRequest) -> Generation:
        self.heard = request
        raise Cancelled("nobody is to answer")

    async def close(self) -> None:
        pass


class Asker:
    """Over one vocabulary and `count` made-up listings, with the bundle's prompt."""

    def __init__(self, bundle: Bundle, tokenizer: HuggingFaceTokenizer, vocabulary: TagVocabulary, count: int) -> None:
        self.vocabulary = vocabulary
        self._listener = Listener()
        candidates = Candidates(vocabulary, thesaurus=bundle.vocabulary)
        self._suggester = Suggester(bundle, vocabulary, tokenizer, self._listener, candidates)
        self._samples = make_samples(make_vocabulary(FEWEST_TAGS), count)

    def __len__(self) -> int:
        return len(self._samples)

    async def asked(self, *, explains: bool) -> Asked:
        """A request for every listing."""
        requests = [await self.request(number, explains=explains) for number in range(len(self._samples))]
        return Asked(explains, self.vocabulary, requests)

    async def request(self, number: int, *, explains: bool, profile: InterestProfile | None = None) -> GenerationRequest:
        """For one listing, by its number."""
        title, *description = self._samples[number].lines
        listing = Listing(title=title, description=" ".join(description))
        asked = SuggestionRequest(listing, profile or InterestProfile(), min_tags=TAGS, max_tags=TAGS, explain=explains)
        try:
            await self._suggester.suggest(asked)
        except Cancelled:
            assert self._listener.heard is not None
            return self._listener.heard
        raise AssertionError("the listener answers nothing")

    def profile(self, number: int) -> InterestProfile:
        """What a user is interested in after some event, another for each number."""
        return InterestProfile({(7 * number + place) % len(self.vocabulary): 3.0 - place for place in range(INTERESTS)})

"""The error tree: everything a caller of hangtag can handle. It knows no HTTP status and no exit code.

HangtagError
├── InvalidInput            what a person or a program handed in is wrong: say what, where, what to do
│   ├── InvalidListing      empty, control characters, attributes without a name
│   │   └── ListingTooLong  more characters than a listing may have
│   ├── InvalidVocabulary   a broken line, two tags with one path, an unknown parent, a label no tokenizer writes
│   ├── InvalidHistory      an event without a type, a time without a zone
│   ├── InvalidFeedback     tags that were not suggested, or that are right and wrong at once
│   ├── UnknownItem         a listing or a suggestion that is not in the store
│   ├── BatchTooLong        more items in one request than are taken
│   ├── InvalidRules        max below min, more tags than exist, a rule that leaves nothing
│   ├── InvalidData         a line of a data file that is no row, or a data set that is not what its name says
│   ├── UnknownLanguage     neither the vocabulary nor the prompt speaks it
│   ├── UnknownAdapter      no adapter has the name, or it is another tenant's
│   ├── AdapterConflict     the name is another adapter's, or the adapter is in use as somebody's default
│   └── InvalidPrompt       a template with an unknown variable, or none for the language
├── InvalidBundle           a bundle that is incomplete, altered, or made for another version
├── InvalidCalibration      numbers that are no calibration: probabilities that fall, knots that do not ascend
├── InvalidMemory           remembered listings that can't be read, or that another process is writing
├── InvalidAnswer           token ids that are no answer: a bug of the decoder, never repaired
├── InvalidSettings         a setting that is unknown or has no meaning
├── OutputError             a file that can't be written, or that another process is writing
├── StoreUnavailable        the database can't be reached, is busy or full: the same may work soon
├── EngineError             the engine failed: out of memory, a model that can't be read
├── UnknownKey              no API key, or one that nobody gave out
├── NotAllowed              the key is known and not good for this
├── Overloaded              more was asked than can be answered now; later it can
├── DeadlineExceeded        the answer was not ready in the time it was given
└── Cancelled               the caller went away before the answer was ready
"""

from __future__ import annotations


class HangtagError(Exception):
    """Root of all errors that a caller can handle. `field` names the part of the input at fault, where there is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidInput(HangtagError):
    """What was handed in is wrong, and handing in the same again will fail again."""


class InvalidListing(InvalidInput):
    """The listing can't be read: empty, control characters, an attribute without a name."""


class ListingTooLong(InvalidListing):
    """The listing has more characters than any listing may have (`hangtag.listing.MAX_CHARACTERS`)."""


class InvalidVocabulary(InvalidInput):
    """The vocabulary can't be used as it is; the message names file and lines where there are any."""


class InvalidHistory(InvalidInput):
    """An event of a user's history can't be read."""


class InvalidFeedback(InvalidInput):
    """What is said of a suggestion does not fit it."""


class UnknownItem(InvalidInput):
    """A listing or a suggestion that the store does not have, or that belongs to another tenant."""


class BatchTooLong(InvalidInput):
    """More items at once than one request may have."""


class InvalidRules(InvalidInput):
    """The rules of an answer contradict each other or leave no answer."""


class InvalidData(InvalidInput):
    """Rows for training or measuring can't be used; the message names file and line where there are any."""


class UnknownLanguage(InvalidInput):
    """A language that the vocabulary has no labels in, or that the bundle has no prompt for."""


class UnknownAdapter(InvalidInput):
    """No adapter has this name; one that the caller may not see is as good as none."""


class AdapterConflict(InvalidInput):
    """What is asked for an adapter can't be as others stand: its name was another's, or it is somebody's default."""


class InvalidPrompt(InvalidInput):
    """A prompt template is missing, broken, or uses a variable that nobody gives it."""


class InvalidBundle(HangtagError):
    """A bundle is incomplete, was altered after it was made, or belongs to another version."""


class InvalidCalibration(HangtagError):
    """Numbers that are no calibration, or a file of them that can't be read."""


class InvalidMemory(HangtagError):
    """Remembered listings can't be read, or can't be written now since another process writes."""


class InvalidAnswer(HangtagError):
    """Token ids that do not spell an answer. The decoder makes this impossible, so it is never repaired."""


class InvalidSettings(HangtagError):
    """A setting is unknown or has no meaning."""


class OutputError(HangtagError):
    """A file can't be written now: a full disk, no right to, another process at work on it. What stood there still does."""


class StoreUnavailable(HangtagError):
    """The database of events and listings can't be used now; nothing was written by halves, and the same may work soon."""


class EngineError(HangtagError):
    """The engine that runs the model failed."""


class UnknownKey(HangtagError):
    """There is no API key with the request, or it is none that was given out."""


class NotAllowed(HangtagError):
    """Whoever asks is known and may not do this."""


class Overloaded(HangtagError):
    """More was asked than can be answered now. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(HangtagError):
    """The answer was not ready in the time that it was given."""


class Cancelled(HangtagError):
    """The caller went away before the answer was ready."""

"""The error tree: everything a caller of hangtag can handle. It knows no HTTP status and no exit code.

HangtagError
├── InvalidInput            what a person or a program handed in is wrong: say what, where, what to do
│   ├── InvalidListing      empty, control characters, attributes without a name
│   │   └── ListingTooLong  more characters than a listing may have
│   ├── InvalidVocabulary   a broken line, two tags with one path, an unknown parent, a label no tokenizer writes
│   ├── InvalidHistory      an event without a type, a time without a zone
│   ├── InvalidRules        max below min, more tags than exist, a rule that leaves nothing
│   ├── InvalidData         a line of a data file that is no row, or a data set that is not what its name says
│   ├── UnknownLanguage     neither the vocabulary nor the prompt speaks it
│   └── InvalidPrompt       a template with an unknown variable, or none for the language
├── InvalidBundle           a bundle that is incomplete, altered, or made for another version
├── InvalidCalibration      numbers that are no calibration: probabilities that fall, knots that do not ascend
├── InvalidMemory           remembered listings that can't be read, or that another process is writing
├── InvalidAnswer           token ids that are no answer: a bug of the decoder, never repaired
├── InvalidSettings         a setting that is unknown or has no meaning
├── EngineError             the engine failed: out of memory, a model that can't be read
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


class InvalidRules(InvalidInput):
    """The rules of an answer contradict each other or leave no answer."""


class InvalidData(InvalidInput):
    """Rows for training or measuring can't be used; the message names file and line where there are any."""


class UnknownLanguage(InvalidInput):
    """A language that the vocabulary has no labels in, or that the bundle has no prompt for."""


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


class EngineError(HangtagError):
    """The engine that runs the model failed."""


class Cancelled(HangtagError):
    """The caller went away before the answer was ready."""

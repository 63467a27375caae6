"""From a listing, candidate tags and interests to the messages that a model is asked with. It knows no tokenizer: special
tokens in untrusted text are the tokenizer's business, which never parses them.

A template has one Jinja2 block a message, named after its role (`system`, `user`), nothing outside of them, and runs in a
sandbox. It is given `language`, `lines` (the listing's lines), `candidates` and `interests` (labels), `min_tags`, `max_tags`,
`explain`; any other variable is an error, also where it is not reached. Blocks go from what changes least to what changes most,
so that a prefix stays cached.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hangtag.errors import InvalidPrompt

TEMPLATES = Path(__file__).parent / "templates"
ROLES = ("system", "user")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: who says it, and what."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class PromptValues:
    """Everything that a template may use."""

    language: str
    lines: Sequence[str]
    candidates: Sequence[str] = ()
    interests: Sequence[str] = ()
    min_tags: int = 1
    max_tags: int = 5
    explain: bool = True


@dataclass(frozen=True)
class PromptTemplate:
    """A template, compiled and checked. Raises `InvalidPrompt` with the template's name and line."""

    source: str
    name: str = "prompt.j2"
    _template: Template = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_template", _compiled(self.source, self.name))

    @classmethod
    def read(cls, path: Path) -> PromptTemplate:
        """The template in a file."""
        try:
            return cls(path.read_text(encoding="utf-8"), name=path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidPrompt(f"{path}: the template can't be read: {error}") from error

    def render(self, values: PromptValues) -> list[Message]:
        """The messages, in the order of ROLES; blocks that come out empty are left out."""
        variables = {name: getattr(values, name) for name in PromptValues.__slots__}
        messages = []
        try:
            for role in ROLES:
                if role in self._template.blocks:
                    context = self._template.new_context(variables)
                    content = "".join(self._template.blocks[role](context))
                    if content:
                        messages.append(Message(role, content))
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InvalidPrompt(f"{self.name}: {error}") from error
        if not messages:
            raise InvalidPrompt(f"{self.name}: no message came out; write the prompt in {{% block user %}}")
        return messages


def _compiled(source: str, name: str) -> Template:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["json"] = partial(json.dumps, ensure_ascii=False)  # tojson is for HTML: it would write men\u0027s
    try:
        tree = environment.parse(source, name)
        for part in tree.body:
            if not isinstance(part, nodes.Block) and not _is_blank(part):
                raise InvalidPrompt(f"{name}: line {part.lineno}: this stands in no message; write it in {{% block user %}}")
        for block in tree.find_all(nodes.Block):
            if block.name not in ROLES:
                raise InvalidPrompt(f"{name}: line {block.lineno}: the block {block.name!r} is no role; use {', '.join(ROLES)}")
        known = PromptValues.__slots__
        unknown = meta.find_undeclared_variables(tree) - {*known, *environment.globals}
        for variable in tree.find_all(nodes.Name):
            if variable.name in unknown:
                raise InvalidPrompt(
                    f"{name}: line {variable.lineno}: unknown variable {variable.name!r}; a template may use: {', '.join(known)}"
                )
        return environment.from_string(tree)
    except TemplateError as error:
        raise InvalidPrompt(f"{name}: line {getattr(error, 'lineno', '?')}: {error}") from error


def _is_blank(part: nodes.Node) -> bool:
    return isinstance(part, nodes.Output) and all(isinstance(n, nodes.TemplateData) and not n.data.strip() for n in part.nodes)

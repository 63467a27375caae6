"""`BatchRows`: all that is kept for the answers of a batch, as tables on one device. It knows how an answer is put into a row;
what a step makes of it is for `serve.decoding.tensors` and `serve.decoding.host`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from hangtag.constraint import AnswerConstraint
from hangtag.explanation import START, ExplanationGrammar
from hangtag.state import InExplanation, InQuotation, InTags
from serve.decoding.forest import Forest
from serve.decoding.phases import DONE, PHASES
from serve.decoding.priors import PriorRows
from serve.decoding.quotations import QuotationRows
from serve.decoding.table import Column, RowTable
from serve.decoding.tags import TagRows


class BatchRows:
    """R rows and a spare one, which belongs to no answer, over logits of `width`. `words` are their packed masks, (R + 1,
    ceil(width / 32)) int32."""

    def __init__(self, grammar: ExplanationGrammar, rows: int, width: int, device: torch.device) -> None:
        assert width >= len(grammar.written), "the logits are narrower than the vocabulary"
        self.grammar, self.device, self.spare = grammar, device, rows
        self.forest = Forest(grammar, -(-width // 32), device)
        own = Column("phase", blank=DONE), *map(Column, ("text", "left", "explains", "longest"))
        self.table = RowTable(rows, device, [*own, *TagRows.columns, *PriorRows.columns, *QuotationRows.columns])
        self.tags = TagRows(self.forest, self.table)
        self.priors = PriorRows(self.tags, self.table)
        self.quotations = QuotationRows(grammar, self.table)
        self.words = torch.zeros((rows + 1, -(-width // 32)), dtype=torch.int32, device=device)

    def put(self, row: int, constraint: AnswerConstraint, tokens: Iterable[int]) -> None:
        """Begin an answer of which `tokens` are generated. Host work, which may move tables."""
        assert constraint.grammar.tokenizer_hash == self.grammar.tokenizer_hash, "the constraint is for another tokenizer"
        state = constraint.replay(tokens)
        inside = state if isinstance(state, InTags) else InTags(used=state.used, counts=(0,) * len(constraint.ruled.limits))
        self.tags.put(row, constraint, inside)
        self.priors.put(row, constraint)
        self.quotations.put(row, constraint, state)
        self.table.put(
            row,
            phase=PHASES[type(state)],
            text=state.text if isinstance(state, InExplanation) else START,
            left=state.left if isinstance(state, InExplanation | InQuotation) else 0,
            explains=int(constraint.rules.explain),
            longest=constraint.rules.max_explanation_tokens,
        )

    def drop(self, row: int) -> None:
        """Forget the answer in a row, if there is one."""
        self.tags.drop(row)
        self.table["phase"][row] = DONE

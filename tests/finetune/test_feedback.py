"""Feedback of merchants: its file, the rows and the preferences that it becomes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.rows import Row
from finetune.config import Data
from finetune.data import read_data
from finetune.feedback import Feedback, feedback_on, read_feedback, write_feedback
from finetune.pairs import graded, in_order, preferred
from finetune.reading import read_recipe
from finetune.session import Prepared, prepare_run
from hangtag.errors import InvalidData, InvalidSettings
from hangtag.listing import Listing
from tests.finetune.shop import Silent, feedback_object, write_feedback_file, write_recipe

LABELS = st.sampled_from(["Audio", "Walk", "亚麻", "Season pick", "a|b"])


@st.composite
def feedbacks(draw: st.DrawFn, number: int = 0) -> Feedback:
    suggested = draw(st.lists(LABELS, unique=True, min_size=1))
    verdicts = [draw(st.sampled_from(["accepted", "rejected", "none"])) for _ in suggested]
    said = {name: tuple(tag for tag, each in zip(suggested, verdicts, strict=True) if each == name) for name in set(verdicts)}
    said.pop("none", None)
    added = tuple(draw(st.sets(LABELS.filter(lambda tag: tag not in suggested), min_size=0 if said else 1)))
    row = Row(Listing(title=draw(st.sampled_from(["Linen", "亚麻衬衫 \u2028"])), id=f"s{number}"), ("x",))
    return feedback_on(row, suggested=tuple(suggested), added=added, **said)


@given(feedbacks(1), feedbacks(2))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, first: Feedback, second: Feedback):
    path = tmp_path_factory.mktemp("feedback") / "feedback.jsonl"
    write_feedback([first, second], path)
    found, skipped = read_feedback(path)
    assert [each for _, each in found] == [first, second]
    assert [line for line, _ in found] == [1, 2]
    assert not skipped


def test_right_are_those_accepted_then_those_added():
    row = Row(Listing("Linen", id="s"), ("x",))
    said = feedback_on(row, suggested=("A", "B", "C"), accepted=("C", "A"), rejected=(), added=("D",))
    assert said.right == said.row.tags == ("A", "C", "D")
    assert feedback_on(row, suggested=("A", "B"), rejected=("A",)).row.tags == ("A", "B")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accepted": ["Wool"]}, "'Wool' is accepted, but was not suggested"),
        ({"rejected": ["Walk"], "accepted": ["Walk"]}, "'Walk' is accepted and rejected"),
        ({"added": ["Walk"]}, "'Walk' is added, but was suggested"),
        ({"suggested": ["Walk", "Walk"]}, "`suggested` has a tag twice"),
        ({"accepted": [], "rejected": [], "added": []}, "this says nothing"),
        ({"suggested": [], "accepted": [], "rejected": [], "added": []}, "no tag is suggested or added"),
        ({"accepted": "Walk"}, "`accepted` is not a list of strings"),
        ({"tags": ["Walk"]}, "feedback has no `tags`"),
        ({"titel": "x"}, "unknown field 'titel'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, changes: dict[str, Any], message: str):
    path = tmp_path / "feedback.jsonl"
    lines = [feedback_object(0), feedback_object(1) | changes]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InvalidData) as caught:
        read_feedback(path)
    assert str(caught.value).startswith(f"{path}: line 2: ")
    assert message in str(caught.value)
    found, skipped = read_feedback(path, skip_bad=True)
    assert [line for line, _ in found] == [1]
    assert [each.line for each in skipped] == [2]


def test_feedback_becomes_training_rows(tmp_path: Path):
    path = write_feedback_file(tmp_path / "feedback.jsonl")
    data = read_data(Data(feedback=(path,)).model_copy(update={"history": 0}), "shop")
    rows = {row.listing.id: row.tags for row in (*data.learn.test.rows, *data.held.test.rows)}
    assert rows["f1"] == ("Walk", "Natural")  # accepted, then added
    assert "f2" not in rows  # nothing is right
    assert any("no tag is right" in note for note in data.notes)
    assert {tag.id for tag in data.vocabulary} == {"Walk", "Audio", "Natural", "Season pick"}  # those rejected too


def prepare(tmp_path: Path, bundle: Path, method: str, **changes: Any) -> Prepared:
    write_feedback_file(tmp_path / "feedback.jsonl")
    data = {"feedback": ["feedback.jsonl"], "validation": {"share": 0.2}}
    recipe = read_recipe(write_recipe(tmp_path, bundle / "base", method=method, data=data, **changes))
    return prepare_run(recipe, tmp_path / "run", Silent())


def test_dpo_prefers_right_tags_to_the_suggestion(tiny_bundle: Path, tmp_path: Path):
    prepared = prepare(tmp_path, tiny_bundle, "dpo")
    codec = prepared.train[0].request.codec
    by_prompt = {tuple(example.request.prompt): example for example in prepared.train}
    found = preferred(prepared.train, prepared.data)
    assert found
    for pair in found:
        example = by_prompt[tuple(pair["prompt_ids"])]
        said = prepared.data.feedback[prepared.data.learn.test.rows[example.position].listing.id]
        for ids, names in ((pair["chosen_ids"], said.right), (pair["rejected_ids"], said.suggested)):
            tags = codec.read([*ids, codec.eos_id]).tags
            assert [codec.vocabulary.tags[tag].id for tag in tags] == list(names)


def test_kto_grades_right_and_rejected_tags(tiny_bundle: Path, tmp_path: Path):
    prepared = prepare(tmp_path, tiny_bundle, "kto")
    found = graded(prepared.train, prepared.data)
    said = [prepared.data.feedback[row.listing.id] for row in prepared.data.learn.test.rows]
    assert sum(answer["label"] for answer in found) == sum(bool(each.right) for each in said)
    assert sum(not answer["label"] for answer in found) == sum(bool(each.rejected) for each in said)


def test_the_order_of_a_run_depends_on_the_seed_alone(tmp_path: Path):
    write_feedback_file(tmp_path / "feedback.jsonl")
    changes = {"data": {"feedback": ["feedback.jsonl"]}, "schedule": {"epochs": 2.5}, "batch": {"rows": 4, "accumulation": 2}}
    recipe = read_recipe(write_recipe(tmp_path, tmp_path, method="dpo", **changes))
    rows = [{"number": number} for number in range(32)]
    order, steps = in_order(rows, recipe, processes=2)
    assert steps == 5
    assert len(order) == 5 * 4 * 2 * 2
    assert in_order(rows, recipe, processes=2)[0] == order
    assert sorted(row["number"] for row in order[:32]) == list(range(32))
    assert in_order(rows, recipe.model_copy(update={"seed": 1}), processes=2)[0] != order


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "dpo"}, "method: dpo learns from data.feedback"),
        ({"method": "kto", "loss": "allowed"}, "loss: allowed belongs to method: sft"),
        ({"method": "kto", "batch": {"rows": 1}}, "batch.rows to 2 at least"),
        ({"data": {"validation": {"share": 0.1}}}, "files, feedback, or both"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, changes: dict[str, Any], message: str):
    write_feedback_file(tmp_path / "feedback.jsonl")
    if message.startswith(("loss", "batch")):
        changes = {"data": {"feedback": ["feedback.jsonl"]}, **changes}
    with pytest.raises(InvalidSettings, match=message):
        read_recipe(write_recipe(tmp_path, tmp_path, **changes))

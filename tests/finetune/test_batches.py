from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.batches import Batches, plan
from finetune.config import Recipe
from finetune.examples import Example, is_allowed
from finetune.reading import read_recipe
from finetune.rows import IGNORED
from finetune.session import Prepared, prepare_run
from finetune.trainer import answer_loss, unpacked
from hangtag.state import Phase
from tests.finetune.shop import Silent, write_recipe


def read(folder: Path, base: Path, **changes: object) -> Recipe:
    return read_recipe(write_recipe(folder, base, **changes))


@pytest.fixture(scope="module")
def prepared(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("shop")
    return prepare_run(read(folder, tiny_bundle / "base"), folder / "run", Silent())


def test_prompts_are_those_of_serving_and_answers_can_be_read_back(prepared: Prepared):
    example = prepared.train[0]
    row = prepared.data.learn.test.rows[example.position]
    tokenizer, codec = prepared.kit.tokenizer, example.request.codec
    prompt = tokenizer.decode(list(example.request.prompt))
    assert prompt.startswith("en\n" + row.listing.title)
    ids, learned = example.answer_ids(example.tags)
    assert codec.read(ids).tags == example.tags
    assert ids[learned:] == [tokenizer.eos_id]
    assert all(map(is_allowed, prepared.train))


def test_a_user_who_likes_the_first_tag_is_in_the_prompt(prepared: Prepared):
    vocabulary = prepared.kit.vocabulary
    fans = 0
    for example in prepared.train:
        row = prepared.data.learn.test.rows[example.position]
        named = {vocabulary.index(tag) for event in row.events for tag in event.tags}
        prompt = prepared.kit.tokenizer.decode(list(example.request.prompt))
        assert all(vocabulary.tags[tag].label("en") in prompt for tag in named), prompt
        fans += 0 in named
    assert fans


def test_explanations_quote_what_states_a_tag(tiny_bundle: Path, tmp_path: Path):
    path = write_recipe(tmp_path, tiny_bundle / "base", prompt={"template": "mini", "context": 512})
    shop = tmp_path / "shop.csv"
    shop.write_text(shop.read_text().replace("Wardrobe", "Shirt").replace("Natural", "Linen"))
    prepared = prepare_run(read_recipe(path), tmp_path / "run", Silent())
    said = {example.explanation for example in prepared.train}
    assert {text for text in said if "“shirt”" in text}
    assert {text for text in said if "“linen”" in text}
    assert "" in said
    assert all(map(is_allowed, prepared.train))


def test_a_memory_says_what_it_would_without_the_row(tiny_bundle: Path, tmp_path: Path):
    path = write_recipe(tmp_path, tiny_bundle / "base", memory=True, prior=True, loss="allowed")
    shop = tmp_path / "shop.csv"
    shop.write_text(shop.read_text().replace("Wireless shirt 9,Wardrobe|Season pick", "Wireless shirt 9,Wardrobe|Only here"))
    prepared = prepare_run(read_recipe(path), tmp_path / "run", Silent())
    vocabulary = prepared.kit.vocabulary
    rows = {prepared.data.learn.test.rows[example.position].listing.title: example for example in prepared.train}
    weights = {
        title: {vocabulary.tags[tag].id: weight for tag, weight in example.request.prior.weights.items()}
        for title, example in rows.items()
    }
    assert max(weights["Wireless shirt 1"], key=weights["Wireless shirt 1"].__getitem__) == "Wardrobe"
    assert "Only here" not in weights["Wireless shirt 9"]
    memory = prepared.kit.memory
    assert memory is not None
    listing = next(row.listing for row in prepared.data.known if row.listing.title == "Wireless shirt 9")
    as_it_is, without = (memory.estimates(listing, [], hold_out=is_held) for is_held in (False, True))
    only = vocabulary.index("Only here")
    assert as_it_is.logit(only) > without.logit(only)


def test_the_plan_depends_on_the_seed_alone(tmp_path: Path):
    recipe = read(tmp_path, tmp_path, schedule={"epochs": 1.5})
    lengths = np.arange(20, 120) % 37 + 20
    first, again = plan(lengths, recipe), plan(lengths, recipe)
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    other = plan(lengths, recipe.model_copy(update={"seed": 1}))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in other]
    seen = np.bincount(np.concatenate(first), minlength=len(lengths))
    assert set(seen.tolist()) <= {1, 2}
    assert all(len(batch) <= 4 for batch in first)


def test_steps_are_whole_on_several_processes(tmp_path: Path):
    recipe = read(tmp_path, tmp_path, schedule={"epochs": 1}, batch={"rows": 3, "accumulation": 2, "tokens": 100})
    lengths = np.full(50, 30)
    batches = plan(lengths, recipe, processes=3)
    assert len(batches) % 6 == 0
    assert all(len(batch) * 32 <= 100 for batch in batches)
    assert len(plan(lengths, recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"steps": 7})}), 3)) == 42


def test_few_batches_are_repeated_until_a_step_is_whole(tmp_path: Path):
    recipe = read(tmp_path, Path("base"), batch={"rows": 4, "accumulation": 4}, schedule={"epochs": 1})
    (first, *others) = plan(np.full(4, 20), recipe)
    assert [others_.tolist() for others_ in others] == [first.tolist()] * 3


def test_masks_are_the_decoders(prepared: Prepared, tmp_path: Path, tiny_bundle: Path):
    recipe = read(tmp_path, tiny_bundle / "base", loss="allowed", prior=True, order="sampled")
    batches = Batches(prepared.train, [np.array([0, 3, 4])], recipe, pad_id=0)
    batch = batches[0]
    again = batches[0]
    assert all(torch.equal(batch[name], again[name]) for name in batch)  # sampled orders too
    size = prepared.kit.tokenizer.size
    allowed = unpacked(batch["allowed"], size)
    place, orders = 0, set()
    for row, number in enumerate((0, 3, 4)):
        example: Example = prepared.train[number]
        constraint = example.constraint()
        state = constraint.start()
        answer = batch["labels"][row][batch["labels"][row] != IGNORED].tolist()
        orders.add(tuple(answer))
        for token in answer:
            expected = constraint.allowed(state)
            assert set(torch.nonzero(allowed[place]).flatten().tolist()) == set(expected.tokens.tolist())
            bias = torch.zeros(size)
            here = batch["bias_at"][0] == place
            bias[batch["bias_at"][1][here]] = batch["bias"][here]
            assert torch.allclose(bias[torch.from_numpy(expected.tokens).long()], torch.from_numpy(expected.bias))
            state = constraint.advance(state, token)
            place += 1
        assert state.phase is not Phase.DONE
    assert place == len(allowed)


def test_the_loss_over_allowed_tokens_is_no_larger():
    logits, targets = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])
    words = torch.tensor([[0b011], [0b100]], dtype=torch.int32)
    plain, allowed = answer_loss(logits, targets, {}), answer_loss(logits, targets, {"allowed": words})
    assert float(allowed) == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(-1.0)))))
    assert float(allowed) < float(plain)
    biased = {"allowed": words, "bias_at": torch.tensor([[0], [1]]), "bias": torch.tensor([1.0])}
    assert float(answer_loss(logits, targets, biased)) == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(-2.0)))))


def test_masks_unpack_to_any_width():
    words = torch.tensor([[-2147483648]], dtype=torch.int32)
    assert unpacked(words, 32).nonzero().tolist() == [[0, 31]]
    assert unpacked(words, 40).shape == (1, 40)
    assert not unpacked(words, 31).any()


def test_packed_rows_hold_the_same_tokens(prepared: Prepared, tmp_path: Path, tiny_bundle: Path):
    recipe = read(tmp_path, tiny_bundle / "base", sequences={"length": 256, "packing": True}, schedule={"epochs": 1})
    lengths = np.array([example.length for example in prepared.train])
    batches = plan(lengths, recipe)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    batch = Batches(prepared.train, batches, recipe, pad_id=0)[0]
    assert batch["input_ids"].shape == batch["position_ids"].shape == batch["labels"].shape
    assert int((batch["position_ids"] == 0).sum()) == len(batches[0])

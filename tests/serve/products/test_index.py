import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.products import ProductIndex, TaggedProduct

SHIRT = TaggedProduct("shirt", ("red", "linen"))
HAT = TaggedProduct("hat", ("red",), in_stock=False)
BAG = TaggedProduct("bag", ("蓝色", "leather"))


def index_of(*products: TaggedProduct) -> ProductIndex:
    index = ProductIndex()
    index.put(products)
    return index


def found(index: ProductIndex, weights: dict[str, float], **options: object) -> list[str]:
    return [each.product.id for each in index.search(weights, 10, **options)]  # type: ignore[arg-type]


def test_products_are_found_by_the_weights_of_their_tags() -> None:
    index = index_of(SHIRT, HAT, BAG)
    (first, second) = index.search({"red": 1.0, "linen": 0.5}, 10)
    assert (first.product, second.product) == (SHIRT, HAT)
    assert (first.score, second.score) == pytest.approx((1.5, 1.0))
    assert found(index, {"蓝色": 2.0, "red": 1.0})[0] == "bag"


def test_what_is_excluded_or_out_of_stock_is_not_found() -> None:
    index = index_of(SHIRT, HAT, BAG)
    assert found(index, {"red": 1.0}, in_stock=True) == ["shirt"]
    assert found(index, {"red": 1.0}, without={"shirt"}) == ["hat"]
    assert found(index, {"red": -1.0, "green": 1.0}) == []


def test_however_many_of_the_best_are_passed_over_the_next_ones_are_found() -> None:
    index = ProductIndex()
    index.put(TaggedProduct(f"{number:03}", ("a", "b") if number < 300 else ("a",)) for number in range(400))
    best = {f"{number:03}" for number in range(300)}
    assert {each.product.id for each in index.search({"a": 1.0, "b": 1.0}, 50, without=best)} <= {
        f"{n:03}" for n in range(300, 400)
    }
    assert len(index.search({"a": 1.0, "b": 1.0}, 50, without=best)) == 50
    assert len(index.search({"a": 1.0, "b": 1.0}, 200, without=best)) == 100
    assert index.search({"a": 1.0}, 5, without={f"{number:03}" for number in range(400)}) == []


def test_the_same_id_replaces_and_removed_is_gone() -> None:
    index = index_of(SHIRT, HAT)
    index.put([TaggedProduct("shirt", ("silk",))], removed=["hat"])
    assert len(index) == 1
    assert index.get("shirt") == TaggedProduct("shirt", ("silk",))
    assert index.get("hat") is None
    assert found(index, {"red": 1.0, "linen": 1.0}) == []


def test_a_write_that_fails_changes_nothing() -> None:
    index = index_of(SHIRT)

    def broken():
        yield BAG
        raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"):
        index.put(broken())
    index.put([HAT])
    assert sorted(found(index, {"red": 1.0, "leather": 1.0})) == ["hat", "shirt"]


def test_a_rare_tag_tells_more() -> None:
    index = index_of(SHIRT, HAT, BAG)
    assert index.rarity("nobody's") > index.rarity("linen") > index.rarity("red") > 0


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, unique=True), min_size=1, max_size=8), st.data())
def test_the_best_products_are_those_of_a_sum_by_hand(tags, data) -> None:
    weights = data.draw(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9).map(float), min_size=1))
    index = index_of(*(TaggedProduct(str(place), tuple(each)) for place, each in enumerate(tags)))
    expected = {str(place): sum(weights.get(tag, 0.0) for tag in each) for place, each in enumerate(tags)}
    assert {each.product.id: each.score for each in index.search(weights, 10)} == {
        id: score for id, score in expected.items() if score
    }

from serve.products import ProductIndex, TaggedProduct, recommend, similar, tags_around


def shop() -> ProductIndex:
    index = ProductIndex()
    index.put(
        [
            TaggedProduct("linen shirt", ("shirt", "linen", "summer")),
            TaggedProduct("linen shirt again", ("shirt", "linen", "summer")),
            TaggedProduct("linen trousers", ("trousers", "linen")),
            TaggedProduct("wool coat", ("coat", "wool")),
            TaggedProduct("wool hat", ("hat", "wool"), in_stock=False),
            TaggedProduct("everything", ("shirt", "linen", "trousers", "coat", "wool", "hat", "summer", "gift", "sale", "new")),
        ]
    )
    return index


def test_what_a_user_likes_comes_first_with_its_reasons() -> None:
    first, *others = recommend(shop(), {"linen": 2.0, "shirt": 1.0}, 5)
    assert first.product.id == "linen shirt"
    assert set(first.reasons) == {"shirt", "linen"}
    assert "wool coat" not in [each.product.id for each in others]
    assert [each.score for each in others] == sorted((each.score for each in others), reverse=True)


def test_what_was_seen_or_is_sold_out_is_not_recommended() -> None:
    assert [each.product.id for each in recommend(shop(), {"wool": 1.0}, 5, without={"everything"})] == ["wool coat"]


def test_what_a_user_dislikes_counts_against_a_product() -> None:
    liked = [each.product.id for each in recommend(shop(), {"linen": 1.0, "shirt": -5.0}, 5)]
    assert liked == ["linen trousers"]


def test_a_long_list_of_tags_is_no_advantage() -> None:
    assert recommend(shop(), {"wool": 1.0}, 1)[0].product.id == "wool coat"


def test_diversity_puts_something_else_before_a_double() -> None:
    alike = [each.product.id for each in recommend(shop(), {"linen": 2.0, "shirt": 1.0}, 2)]
    apart = [each.product.id for each in recommend(shop(), {"linen": 2.0, "shirt": 1.0}, 2, diversity=0.7)]
    assert alike == ["linen shirt", "linen shirt again"]
    assert apart != alike
    assert apart[0] == "linen shirt"


def test_tags_of_a_facet_count_as_the_merchant_says() -> None:
    interests = {"trousers": 1.0, "wool": 1.0}
    for weight, best in ((0.2, "linen trousers"), (5.0, "wool coat")):
        facets = {"wool": weight, "trousers": 1.0}
        assert recommend(shop(), interests, 1, facet_weight=facets.__getitem__)[0].product.id == best
    index = shop()
    product = index.get("everything")
    assert product is not None
    (alike,) = similar(index, product, 1, facet_weight=lambda tag: float(tag == "coat"))
    assert alike.product.id == "wool coat"
    assert alike.reasons == ("coat",)


def test_no_interests_are_no_recommendations() -> None:
    assert recommend(shop(), {}, 5) == []
    assert recommend(shop(), {"linen": -1.0}, 5) == []


def test_similar_products_share_tags_and_are_others() -> None:
    index = shop()
    product = index.get("linen shirt")
    assert product is not None
    assert similar(index, product, 2)[0].product.id == "linen shirt again"
    around = tags_around(index, product)
    assert around["linen"] > around["coat"] > 0

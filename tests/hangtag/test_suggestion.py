import pytest

from hangtag.suggestion import readable, with_interests


@pytest.mark.parametrize(
    ("said", "language", "left"),
    [
        ("文中提到“蓝牙音箱”和和和端效效效效效效", "zh", "文中提到“蓝牙音箱”。"),
        ("文中提到“红”和“风”袋风袋风袋风袋风", "zh", "文中提到“红”和“风”。"),
        ("It says “linen” and so and so and so and so", "en-GB", "It says “linen”."),
        ("no no no no no no", "en", "no"),
        ("Good linen zzzzz", "en", "Good linen z"),
        ("It says “ha ha ha ha”.", "en", "It says “ha ha ha ha”."),
        ("写到“耳机”“蓝牙”。", "zh", "写到“耳机”“蓝牙”。"),
        ("It fits the listing as a whole.", "en", "It fits the listing as a whole."),
        ("", "en", ""),
    ],
)
def test_a_reason_ends_where_a_model_begins_to_stammer(said: str, language: str, left: str) -> None:
    assert readable(said, language) == left


def test_interests_are_named_after_the_reason() -> None:
    assert with_interests("It says “linen”.", ["Red"], "en") == "It says “linen”. Chosen for your interests: Red."
    assert with_interests("", ["红"], "zh-Hans") == "因您的兴趣而选：红。"
    assert with_interests("Hm.", ["Red"], "fr") == "Hm."

import pytest

from hangtag.evidence import stated_span
from hangtag.listing import Listing


@pytest.mark.parametrize(
    ("title", "wordings", "span"),
    [
        ("Redwood box", ["red"], ""),
        ("A RED box", ["red"], "RED"),
        ("大红色鞋", ["红色", "红"], "红色"),
        ("大红鞋", ["红"], ""),
        ("say “red” now", ["“red”"], ""),
        ("red leather bag", ["red", "red leather"], "red leather"),
    ],
)
def test_stated_span(title, wordings, span):
    assert stated_span(Listing(title), wordings) == span

"""Products found by their tags, and recommended."""

from serve.products.index import Found, ProductIndex, TaggedProduct
from serve.products.recommend import FacetWeight, Recommendation, recommend, similar, tags_around

__all__ = ["FacetWeight", "Found", "ProductIndex", "Recommendation", "TaggedProduct", "recommend", "similar", "tags_around"]

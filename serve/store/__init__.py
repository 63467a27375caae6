"""What users did and like, the merchant's catalogue, suggestions and what became of them: kept in SQLite or PostgreSQL."""

from serve.store.catalogue import Product
from serve.store.events import Taken, UserEvent
from serve.store.people import Held, Purged
from serve.store.store import Store
from serve.store.suggestions import Feedback, Recorded

__all__ = ["Feedback", "Held", "Product", "Purged", "Recorded", "Store", "Taken", "UserEvent"]

"""What products a user has seen, without reading every event: an index over user and product."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make it."""
    op.create_index("events_by_product", "events", ["user_id", "product"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("events_by_product", "events")

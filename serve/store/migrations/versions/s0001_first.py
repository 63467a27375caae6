"""The first tables: users and what they did, the catalogue, suggestions and feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String(256)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "users",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("tenant", _NAME, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("recent", sa.Text, nullable=False, server_default="[]"),
        sa.UniqueConstraint("tenant", "name"),
    )
    op.create_table(
        "profiles",
        sa.Column("user_id", _ID, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("sums", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("user_id", _ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.LargeBinary(16), nullable=False),
        sa.Column("content", sa.LargeBinary(16), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("product", _NAME, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.UniqueConstraint("user_id", "key"),
    )
    op.create_index("events_by_time", "events", ["at"])
    op.create_table(
        "tag_users",
        sa.Column("tenant", _NAME, primary_key=True),
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("users", sa.Integer, nullable=False),
    )
    op.create_table(
        "products",
        sa.Column("tenant", _NAME, primary_key=True),
        sa.Column("product", _NAME, primary_key=True),
        sa.Column("listing", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("in_stock", sa.Boolean, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
    )
    op.create_index("products_by_change", "products", ["tenant", "changed"])
    op.create_table(
        "learned_tags",
        sa.Column("tenant", _NAME, primary_key=True),
        sa.Column("product", _NAME, primary_key=True),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "suggestions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", _NAME, nullable=False),
        sa.Column("product", _NAME, nullable=False),
        sa.Column("user_id", _ID, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("listing", sa.Text, nullable=False),
        sa.Column("suggested", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("suggestions_by_time", "suggestions", ["at"])
    op.create_index("suggestions_by_user", "suggestions", ["user_id"])
    op.create_table(
        "feedback",
        sa.Column("suggestion", sa.String(32), sa.ForeignKey("suggestions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("accepted", sa.Text, nullable=False),
        sa.Column("rejected", sa.Text, nullable=False),
        sa.Column("added", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("feedback", "suggestions", "learned_tags", "products", "tag_users", "events", "profiles", "users"):
        op.drop_table(table)

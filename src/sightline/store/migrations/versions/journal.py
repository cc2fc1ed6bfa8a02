"""The first tables: a journal of edits and categories that only grows, and what goes with it."""

import sqlalchemy as sa
from alembic import op

revision = "journal"
down_revision = None

JOURNAL = ("edits", "category_edits")


def upgrade() -> None:
    """Make the tables, and on SQLite the triggers that keep the journal as it is."""
    _add_datasets()
    _add_journal()
    _add_what_follows()
    if op.get_bind().dialect.name == "sqlite":
        for table in JOURNAL:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'the journal is never changed: append to {table}'); END"
                )


def _add_datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("base_number", sa.Integer, nullable=False),
        sa.Column("edit_count", sa.BigInteger, nullable=False),
        sa.Column("category_edit_count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "bases",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.Column("category_through", sa.BigInteger, nullable=False),
        sa.Column("lineage", sa.Integer, nullable=False),
        sa.Column("category_ids", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("made_at", sa.String(40), nullable=False),
    )


def _add_journal() -> None:
    op.create_table(
        "edits",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("edit_id", sa.String(64), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("made_at", sa.String(40), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("operations", sa.Text, nullable=False),
        sa.UniqueConstraint("dataset_id", "file_name", "revision", name="edits_revision"),
        sa.UniqueConstraint("dataset_id", "edit_id", name="edits_edit_id"),
    )
    op.create_table(
        "category_edits",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("category_id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("made_at", sa.String(40), nullable=False),
    )


def _add_what_follows() -> None:
    op.create_table(
        "heads",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("file_name", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("category_counts", sa.Text, nullable=False),
        sa.Index("heads_number", "dataset_id", "number"),
    )
    op.create_table(
        "label_ids",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("file_name", sa.Text, primary_key=True),
        sa.Column("base_number", sa.Integer, primary_key=True),
        sa.Column("ids", sa.Text, nullable=False),
    )
    op.create_table(
        "freezes",
        sa.Column("dataset_id", sa.Integer, sa.ForeignKey("datasets.id"), primary_key=True),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.Column("category_through", sa.BigInteger, nullable=False),
        sa.Column("version_id", sa.String(64)),
        sa.Column("category_ids", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
    )

"""The queue of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "jobs"
down_revision = "journal"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "jobs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(20), nullable=False, unique=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
        sa.Column("started_at", sa.String(40)),
        sa.Column("ended_at", sa.String(40)),
        sa.Column("asked", sa.String(10)),
        sa.Column("restarts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("progress", sa.Float, nullable=False, server_default="0"),
        sa.Column("stage", sa.String(100), nullable=False, server_default=""),
        sa.Column("remaining_s", sa.Float),
        sa.Column("metrics", sa.Text, nullable=False, server_default="{}"),
        sa.Column("message", sa.Text, nullable=False, server_default=""),
        sa.Column("error", sa.Text),
        sa.Column("made", sa.Text),
        sa.Column("key", sa.String(200), unique=True),
        sa.Column("request", sa.Text),
        sqlite_autoincrement=True,
    )

"""The tables. `edits` and `category_edits` are the journal: rows are added and never changed; on SQLite triggers see to it.

All else follows from the journal and the versions' folders, or says how the two go together: `heads` tells of each edited
picture what lists need (and can be made anew at any time), `bases` on which version edits were made, `label_ids` what labels in
a frozen version are called, `freezes` which version is being written now.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()


def _of_dataset() -> Column[int]:
    return Column("dataset_id", Integer, ForeignKey("datasets.id"), primary_key=True)


DATASETS = Table(
    "datasets",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    # The newest rows of the tables below: what another process must look at to see whether anything changed.
    Column("base_number", Integer, nullable=False),
    Column("edit_count", BigInteger, nullable=False),
    Column("category_edit_count", BigInteger, nullable=False),
)

BASES = Table(
    "bases",
    METADATA,
    _of_dataset(),
    Column("number", Integer, primary_key=True),
    Column("version_id", String(64), nullable=False),
    # Edits up to these numbers are in the version.
    Column("through", BigInteger, nullable=False),
    Column("category_through", BigInteger, nullable=False),
    # Number of the base that was imported, and from which this one was frozen step by step: labels keep their ids since.
    Column("lineage", Integer, nullable=False),
    Column("category_ids", Text, nullable=False),  # JSON: the id of each of the version's categories
    Column("author", String(200), nullable=False),
    Column("made_at", String(40), nullable=False),
)

EDITS = Table(
    "edits",
    METADATA,
    _of_dataset(),
    Column("number", BigInteger, primary_key=True),
    Column("file_name", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("edit_id", String(64), nullable=False),
    Column("author", String(200), nullable=False),
    Column("made_at", String(40), nullable=False),
    Column("summary", Text, nullable=False),
    Column("operations", Text, nullable=False),  # JSON; a category is its id
    UniqueConstraint("dataset_id", "file_name", "revision", name="edits_revision"),
    UniqueConstraint("dataset_id", "edit_id", name="edits_edit_id"),
)

CATEGORY_EDITS = Table(
    "category_edits",
    METADATA,
    _of_dataset(),
    Column("number", BigInteger, primary_key=True),
    Column("kind", String(10), nullable=False),  # add, rename, remove
    Column("category_id", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("made_at", String(40), nullable=False),
)

HEADS = Table(
    "heads",
    METADATA,
    _of_dataset(),
    Column("file_name", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),  # of its last edit
    Column("state", String(20), nullable=False),
    Column("category_counts", Text, nullable=False),  # JSON: annotations by category id
    Index("heads_number", "dataset_id", "number"),
)

LABEL_IDS = Table(
    "label_ids",
    METADATA,
    _of_dataset(),
    Column("file_name", Text, primary_key=True),
    Column("base_number", Integer, primary_key=True),  # from this base on
    Column("ids", Text, nullable=False),  # JSON: of the item's annotations in order
)

FREEZES = Table(
    "freezes",
    METADATA,
    _of_dataset(),
    Column("through", BigInteger, nullable=False),
    Column("category_through", BigInteger, nullable=False),
    Column("version_id", String(64)),  # known before the version can be seen
    Column("category_ids", Text, nullable=False),
    Column("author", String(200), nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("number", Integer, primary_key=True),  # in the order they came
    Column("id", String(20), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("arguments", Text, nullable=False),  # JSON
    Column("author", String(200), nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("started_at", String(40)),
    Column("ended_at", String(40)),
    Column("asked", String(10)),  # stop, cancel
    Column("restarts", Integer, nullable=False, server_default="0"),
    Column("progress", Float, nullable=False, server_default="0"),
    Column("stage", String(100), nullable=False, server_default=""),
    Column("remaining_s", Float),
    Column("metrics", Text, nullable=False, server_default="{}"),  # JSON
    Column("message", Text, nullable=False, server_default=""),
    Column("error", Text),
    Column("made", Text),  # JSON
    Column("key", String(200), unique=True),  # of the client that asked
    Column("request", Text),  # JSON: what came with the key
    sqlite_autoincrement=True,
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("folded", Text, nullable=False, unique=True),  # the same for all spellings of a name
    Column("role", String(10), nullable=False),
    Column("password_hash", String(200)),  # argon2id
    Column("disabled", Boolean, nullable=False),
    Column("made_at", String(40), nullable=False),
    sqlite_autoincrement=True,
)

SIGN_INS = Table(
    "sign_ins",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("secret_hash", String(64), nullable=False, unique=True),  # SHA-256 of what the browser has
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False, index=True),
    Column("made_s", BigInteger, nullable=False),  # seconds since 1970, as the others
    Column("seen_s", BigInteger, nullable=False),
    Column("expires_s", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),  # SHA-256 of the key
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("made_s", BigInteger, nullable=False),
    Column("seen_s", BigInteger),
    UniqueConstraint("user_id", "name", name="api_keys_name"),
    sqlite_autoincrement=True,
)

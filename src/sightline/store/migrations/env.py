"""Runs migrations in the transaction that `upgrading.upgrade_database` began."""

from alembic import context

from sightline.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

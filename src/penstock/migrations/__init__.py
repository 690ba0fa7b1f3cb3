"""Alembic's folder: one file per revision in `versions/`. A test holds them, `HEAD` and the models together."""

SCRIPTS = "penstock:migrations"
HEAD = "0002"

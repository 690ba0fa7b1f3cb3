"""Engine, transactions, migrations, and column types that behave alike on SQLite, MySQL, MariaDB and PostgreSQL."""

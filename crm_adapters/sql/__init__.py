"""Customers from a PostgreSQL or SQLite database, read with bound parameters only."""

from crm_adapters.sql.adapter import SqlAdapter
from crm_adapters.sql.options import SqlOptions

__all__ = ["SqlAdapter", "SqlOptions"]

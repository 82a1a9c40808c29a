"""Customers from any JSON API: URL and body templates in, paths into the answer out."""

from crm_adapters.rest.adapter import RestAdapter
from crm_adapters.rest.options import RestOptions

__all__ = ["RestAdapter", "RestOptions"]

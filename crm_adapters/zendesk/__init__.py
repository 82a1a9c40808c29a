"""Zendesk end users with their organizations, and tickets (docs/adapters/zendesk.md)."""

from crm_adapters.zendesk.adapter import ZendeskAdapter

__all__ = ["ZendeskAdapter"]

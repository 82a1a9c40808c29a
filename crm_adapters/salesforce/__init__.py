"""Salesforce contacts, accounts and leads (docs/adapters/salesforce.md)."""

from crm_adapters.salesforce.adapter import SalesforceAdapter

__all__ = ["SalesforceAdapter"]

"""CRM adapters: one vendor, one file; each imports only `broker.sdk`."""

"""Inbound HTTP: reads a request, calls a use case, answers. The only aiohttp.web code."""

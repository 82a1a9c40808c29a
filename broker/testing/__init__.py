"""Conformance kits and fakes for authors of plug-ins, and for our own tests."""

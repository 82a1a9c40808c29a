"""Drivers of phone systems: each finds a call's session and writes session variables into it."""

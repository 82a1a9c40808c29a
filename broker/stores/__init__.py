"""The durable memory: leases in sorted sets, moved by a few Lua scripts; Redis or in-process."""

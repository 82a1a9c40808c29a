"""The commands, one module each; `broker.__main__` imports only the one that was chosen."""

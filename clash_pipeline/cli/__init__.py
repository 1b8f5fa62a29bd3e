"""The `clash` command: one file a command family."""

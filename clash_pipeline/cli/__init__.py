"""The `clash` command: one file a command family, and a folder for the demo."""

"""The HTTP API under /api/v1 and the pages: thin doors that check who asks and what, call a use-case, and show it."""

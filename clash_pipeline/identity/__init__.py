"""Who asks: wallets and their users, sign-in by a signed message, sessions, and tokens of operators and services."""

"""What the chain says, and how far it is believed: calls, endpoints, the vault's words, verification, the watcher."""

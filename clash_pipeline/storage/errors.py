"""What can go wrong at the store, sorted by whether trying again can help."""


class StorageError(Exception):
    """The store could not do it; the message is one line for a person."""


class StorageRefused(StorageError):
    """Starting on this file would be unsafe: old SQLite, foreign file, newer schema, network file system. Permanent."""


class StorageBusy(StorageError):
    """Another writer held the file for longer than we wait. Try again."""


class StorageFull(StorageError):
    """No space is left for the write; nothing of it was kept. Try again when there is space."""


class OutcomeUnknown(StorageError):
    """COMMIT itself failed: look the effect up by its natural key before answering or repeating."""


class LeaseLost(StorageError):
    """Another holder has the lease, or ours ran out; stop working."""

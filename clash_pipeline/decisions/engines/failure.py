"""How asking a model fails, and whether a second attempt can help."""


class ModelFailed(Exception):
    """One attempt without an answer; `code` becomes the reason of the run.

    `is_billable` is False where surely nothing was generated; only then, and when it `is_transient`, it is tried again.
    """

    def __init__(
        self, code: str, *, is_transient: bool = False, is_billable: bool = True, wait_sec: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.is_transient = is_transient
        self.is_billable = is_billable
        self.wait_sec = wait_sec

"""Why the economy says no: one family, a stable code for programs, one line for people (09 §6.3)."""

from typing import ClassVar


class EconomyError(ValueError):
    """The economy refuses; nothing was changed."""

    code: ClassVar[str] = "economy_refused"


class EconomyUnknown(EconomyError):
    """There is no such purchase, pool, clone of a field, or payable."""

    code = "not_found"


class EconomyConflict(EconomyError):
    """It cannot be done from where things stand, or was already decided otherwise."""

    code = "state_conflict"


class QuoteInvalid(EconomyError):
    """A quote that cannot be: an unknown tier, a count outside 1 to 100, a wallet of somebody else."""

    code = "quote_invalid"


class AlreadyBought(EconomyConflict):
    """The clone has this already: nothing would be gained for the money."""

    code = "already_bought"


class SalesClosed(EconomyConflict):
    """The race takes no tickets: its sales have not opened, are over, or the clone left its field."""

    code = "sales_closed"


class DepositUsed(EconomyConflict):
    """This deposit, or another with its keys, was used before; one deposit buys one thing, once."""

    code = "deposit_already_used"


class LedgerBroken(EconomyError):
    """A booking that would break I1 or I2: a defect, never an answer to a person."""

    code = "ledger_broken"

"""What the commands of the Arena share: the services of one command, and refusals as one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clash_pipeline.cli.output import fail

if TYPE_CHECKING:
    from clash_pipeline.services import Services


@contextmanager
def arena_services() -> "Iterator[Services]":
    """The services of one command; what the Arena refuses is one line."""
    from clash_pipeline import services
    from clash_pipeline.arena.refusals import ArenaError
    from clash_pipeline.clones.refusals import CloneError
    from clash_pipeline.economy.refusals import EconomyError
    from clash_pipeline.prop.accounts import StateConflict

    built = services.build()
    try:
        yield built
    except (ArenaError, CloneError, EconomyError, StateConflict) as error:
        fail(str(error))
    finally:
        built.close()

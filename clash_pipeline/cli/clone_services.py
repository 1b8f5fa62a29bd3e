"""What the commands about clones share: the services of one command, and refusals as one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clash_pipeline.cli.output import fail

if TYPE_CHECKING:
    from clash_pipeline.services import Services

SAID = 5
"""Problems of a graph named in one line; `clash pipeline validate` has them all."""


@contextmanager
def clone_services() -> "Iterator[Services]":
    """The services of one command; what the clone service refuses is one line."""
    from clash_pipeline import services
    from clash_pipeline.clones.clones import CloneError
    from clash_pipeline.clones.validation import GraphInvalid

    built = services.build()
    try:
        yield built
    except GraphInvalid as error:
        said = [f"{item.pointer or '/'} {item.code}: {item.message}" for item in error.problems]
        more = [f"and {len(said) - SAID} more"] if len(said) > SAID else []
        fail("; ".join([*said[:SAID], *more]))
    except CloneError as error:
        fail(str(error))
    finally:
        built.close()

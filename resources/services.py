"""The services of a run: databases, store, venue clients and clock, built from `CLASH_*` when they are first needed.

Assets and ops ask for `services: dg.ResourceParam[Services]` and get the plain object, so a test hands over its own.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property

import dagster as dg

from clash_pipeline.services import Services, build
from clash_pipeline.settings import SettingsError
from clash_pipeline.storage.errors import StorageRefused
from clash_pipeline.storage.sqlite import Database


class RunServices(Services):
    """Services whose refusal to start is the one sentence of a failed step, and not tried again."""

    @cached_property
    def clash(self) -> Database:
        """Accounts, ledger, clones and decisions."""
        with refusals_as_failures():
            return super().clash

    @cached_property
    def market(self) -> Database:
        """The market memory."""
        with refusals_as_failures():
            return super().market


class ServicesResource(dg.ConfigurableResource[Services]):
    """Databases, artifact store, venue clients and clock, from the settings in the environment."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Services, None, None]:
        """Build them for one run or tick, and close what was opened."""
        with refusals_as_failures():
            built = build()
        services = RunServices(built.settings, built.clock, built.wall)
        try:
            yield services
        finally:
            services.close()


@contextmanager
def refusals_as_failures() -> Iterator[None]:
    """Say what a person has to do, such as `clash migrate`, without the way the code went."""
    try:
        yield
    except (StorageRefused, SettingsError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None

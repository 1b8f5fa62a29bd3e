"""The services of a run: databases, store, venue clients and clock, built from `CLASH_*` when they are first needed.

Assets and ops ask for `services: dg.ResourceParam[Services]` and get the plain object, so a test hands over its own.
"""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from clash_pipeline.services import Services, build


class ServicesResource(dg.ConfigurableResource[Services]):
    """Databases, artifact store, venue clients and clock, from the settings in the environment."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Services, None, None]:
        """Build them for one run or tick, and close what was opened."""
        services = build()
        try:
            yield services
        finally:
            services.close()

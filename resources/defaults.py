"""The resources of production; tests hand `build_definitions` plain objects instead."""

from collections.abc import Mapping

from resources.services import ServicesResource


def default_resources() -> Mapping[str, object]:
    """Everything the definitions ask for; nothing is opened or read before a run needs it."""
    return {"services": ServicesResource()}

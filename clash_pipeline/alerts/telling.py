"""The channels that people hear alerts on, by Apprise: mail, chat, pagers, webhooks, each a URL in the settings."""

from typing import Protocol

import structlog

from clash_pipeline.settings import Settings

log = structlog.get_logger(__name__)


class Teller(Protocol):
    """Somebody who passes a message on."""

    def tell(self, title: str, body: str, *, severity: str) -> bool:
        """Pass it on; whether every channel took it."""
        ...


class Logged:
    """Without a channel, alerts are lines of the log."""

    def tell(self, title: str, body: str, *, severity: str) -> bool:
        """Write it down."""
        log.warning("alert", title=title, body=body, severity=severity)
        return True


class Channels:
    """The channels of the settings; a URL may hold a secret, so none is ever shown."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        from apprise import Apprise

        self._apprise = Apprise()
        self._refused = [number for number, url in enumerate(urls, 1) if not self._apprise.add(url)]

    @property
    def refused(self) -> list[int]:
        """Which URLs of the list Apprise does not understand, counted from 1."""
        return self._refused

    def tell(self, title: str, body: str, *, severity: str) -> bool:
        """Pass it on; a channel that does not answer is a False, never an exception."""
        kind = "failure" if severity == "critical" else "success" if severity == "cleared" else "warning"
        try:
            return bool(self._apprise.notify(title=title, body=body, notify_type=kind))
        except Exception as error:
            log.error("alert_channel_failed", error=type(error).__name__)
            return False


def teller_from(settings: Settings) -> Teller:
    """The channels of the settings, or the log."""
    urls = settings.alert_channels
    return Channels(urls) if urls else Logged()

"""The secret of sessions: from the settings, else one that this home keeps for itself."""

import os
import secrets

from clash_pipeline.settings import Settings, SettingsError

FILE = "session.key"
BYTES = 32


def session_secret(settings: Settings) -> bytes:
    """The configured secret; without one, that of the home folder, made on first use and readable by its owner alone.

    Raises:
        SettingsError: the setting or the file is not 32 bytes or more of hexadecimal.
    """
    if settings.session_key is not None:
        return _decoded(settings.session_key.get_secret_value(), "CLASH_SESSION_KEY")
    path = settings.home / FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _decoded(path.read_text().strip(), str(path))
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(BYTES))
    return _decoded(path.read_text().strip(), str(path))


def _decoded(text: str, where: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        raise SettingsError(f"{where}: not hexadecimal") from None
    if len(found) < BYTES:
        raise SettingsError(f"{where}: {len(found)} bytes, at least {BYTES} are needed")
    return found

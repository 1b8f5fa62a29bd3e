"""Where a Chromium is on this machine."""

import os
import shutil
from functools import cache
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLAYWRIGHTS_OWN = ("chromium-*/chrome-linux*/chrome", "chromium_headless_shell-*/*/headless_shell")


@cache
def chromium() -> str | None:
    """The browser that page tests look with; None where there is none."""
    named = os.environ.get("CLASH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return named or _of_playwright(Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright"))


def _of_playwright(folder: Path) -> str | None:
    """One that `playwright install chromium` left."""
    found = [path for pattern in PLAYWRIGHTS_OWN for path in sorted(folder.expanduser().glob(pattern))]
    return str(found[-1]) if found else None

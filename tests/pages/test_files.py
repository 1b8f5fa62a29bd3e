"""Styles and scripts: sent whole or packed, kept under their own version; and no page needs anything from elsewhere."""

import gzip
import re
from hashlib import sha256
from pathlib import Path

import pytest

from clash_pipeline.api.pages import rendering, static
from clash_pipeline.api.pages.static import files
from tests.fakes.person import Person

LIBRARY = "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf"
"""The standalone production file of the npm package lightweight-charts 5.2.1, as published."""
TEMPLATES = sorted(rendering.TEMPLATES.glob("*.html"))
OWN_SCRIPTS = [path for path in sorted(static.FOLDER.glob("*.js")) if path.name != "lightweight-charts.js"]


@pytest.mark.parametrize("name", sorted(files()))
def test_a_file_is_the_same_packed_and_whole(anybody: Person, name: str) -> None:
    whole = anybody.client.get(f"/static/{name}", headers={"accept-encoding": "identity"})
    packed = anybody.client.get(static.url(name), headers={"accept-encoding": "gzip"})
    assert whole.content == packed.content == (static.FOLDER / name).read_bytes()
    assert (whole.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert whole.headers["cache-control"] == "no-cache"
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["", "nothing.css", "..%2fpages.css", "%2e%2e", "../rendering.py", "pages.css%00"])
def test_nothing_else_is_sent(anybody: Person, name: str) -> None:
    assert anybody.look(f"/static/{name}").status_code == 404


def test_the_chart_library_is_as_published_and_brings_its_licence() -> None:
    assert sha256((static.FOLDER / "lightweight-charts.js").read_bytes()).hexdigest() == LIBRARY
    assert "Apache License" in (static.FOLDER / "lightweight-charts.LICENSE.txt").read_text()


def test_a_page_with_charts_weighs_little() -> None:
    """All that a browser loads for the heaviest page, packed."""
    assert sum(len(file.compressed) for name, file in files().items() if not name.endswith(".txt")) < 80_000
    assert gzip.decompress(files()["pages.css"].compressed) == files()["pages.css"].body


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_inline_code_or_loads_from_elsewhere(template: Path) -> None:
    """The policy `default-src 'self'` would stop it, in silence."""
    text = template.read_text()
    assert not re.search(r"<script(?![^>]*(?:src=|type=\"application/json\"))", text)
    assert not re.search(r"\s(?:on[a-z]+|style)=", text)
    assert not re.search(r"(?:src|action)=\"https?:", text)
    assert not re.search(r"<link[^>]+href=\"https?:", text)
    assert "| safe" not in text
    rendering._environment().get_template(template.name)


@pytest.mark.parametrize("script", OWN_SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_from_text(script: Path) -> None:
    text = script.read_text()
    for danger in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "http://",
    ):
        assert danger not in text


def test_every_value_has_its_look() -> None:
    assert [rendering.age(span) for span in (0, 999, 1_000, 59_999, 60_000, 90_000, 3_660_000, 90_000_000)] == [
        "0 ms", "999 ms", "1 s", "59 s", "1 min", "1 min 30 s", "1 h 1 min", "1 d 1 h",
    ]  # fmt: skip
    assert [rendering.usd(amount) for amount in (0, 1, 123_456_789_012_345, -50_000_000, "0.005", "-1234.5")] == [
        "0.00", "0.00", "1,234,567.89", "-0.50", "0.00", "-1,234.50",
    ]  # fmt: skip
    assert [rendering.percent(rate, True) for rate in (0, 1_000_000, -123_456_789)] == [
        "+0.00 %",
        "+1.00 %",
        "-123.46 %",
    ]
    assert [rendering.share(part) for part in (1.0, 0.99999, 0.5, 0)] == ["100 %", "99.99 %", "50.00 %", "0.00 %"]
    assert rendering.at(1_753_100_000_000, True) == (
        '<time datetime="2025-07-21T12:13:20Z">2025-07-21 12:13:20</time>'
    )  # fmt: skip
    assert [rendering.tone(amount) for amount in ("0.1", -1, 0, None)] == ["gain", "loss", "", ""]


@pytest.mark.parametrize("look", [rendering.age, rendering.usd, rendering.percent, rendering.share, rendering.at])
def test_unknown_is_not_zero(look: object) -> None:
    assert callable(look)
    assert look(None) == rendering.UNKNOWN
    assert rendering.known(None) == rendering.known("") == rendering.UNKNOWN
    assert rendering.known(0) == 0

"""Templates, and how values look on a page. Everything is escaped unless a template of ours says otherwise."""

from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse

from clash_pipeline.api.pages import static
from clash_pipeline.api.pages.visitors import NOBODY
from clash_pipeline.api.problems import TITLES, Problem
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from clash_pipeline.units import RATE, usd_text

TEMPLATES = Path(__file__).parent / "templates"
UNKNOWN = Markup('<span aria-hidden="true">–</span><span class="sr">unknown</span>')
CENT = Decimal("0.01")
WEI = 10**18
"""One ETH."""


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A rendered page; private ones are never kept by anybody."""
    visitor = getattr(request.state, "visitor", NOBODY)
    text = _environment().get_template(template).render(visitor=visitor, path=request.url.path, **values)
    return HTMLResponse(text, status)


def see(path: str) -> Response:
    """Go and look at another page of ours; after a form, so that reloading does not send it again."""
    return RedirectResponse(path, 303)


def refusal(request: Request, problem: Problem) -> Response:
    """A refusal as a page for people, and as a problem document for everybody else."""
    if not takes_html(request):
        return problem.response(request.state.request_id)
    title = TITLES.get(problem.status, "The request was refused")
    answer = page(
        request, "refusal.html", status=problem.status, title=title, problem=problem,
        request_id=request.state.request_id,
    )  # fmt: skip
    answer.headers.update({name: value for name, value in problem.headers.items() if name != "content-type"})
    return answer


def takes_html(request: Request) -> bool:
    """Whether a browser asks for a page, and not a program for something under the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, auto_reload=False,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals["static"] = static.url
    made.filters |= {
        "at": at, "age": age, "count": count, "usd": usd, "percent": percent, "share": share, "tone": tone,
        "known": known, "ether": ether,
    }  # fmt: skip
    return made


# how values look


def known(value: object) -> object:
    """The value, or a mark that says that it is unknown."""
    return UNKNOWN if value is None or value == "" else value


def at(t: int | None, with_seconds: bool = False) -> Markup:
    """A time in UTC."""
    if t is None:
        return UNKNOWN
    text = iso(t)
    shown = text[:10] + " " + text[11 : 19 if with_seconds else 16]
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


def age(span_ms: float | None) -> str | Markup:
    """How long something took, or how long ago it was, in its two largest units."""
    if span_ms is None:
        return UNKNOWN
    if span_ms < SECOND_MS:
        return f"{int(span_ms)} ms"
    if span_ms < MINUTE_MS:
        return f"{int(span_ms // SECOND_MS)} s"
    units = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s"))
    large = next(place for place, (size, _) in enumerate(units) if span_ms >= size)
    (size, name), (small, small_name) = units[large], units[large + 1]
    rest = int(span_ms % size // small)
    return f"{int(span_ms // size)} {name}" + (f" {rest} {small_name}" if rest else "")


def count(number: int | None) -> str | Markup:
    """A whole number in groups of three."""
    return UNKNOWN if number is None else f"{number:,}"


def usd(amount: int | str | None) -> str | Markup:
    """An amount, integer of 1e-8 USD or decimal text, rounded to cents for the eye."""
    if amount is None or amount == "":
        return UNKNOWN
    text = usd_text(amount) if isinstance(amount, int) else amount
    return f"{Decimal(text).quantize(CENT, ROUND_HALF_EVEN):,f}"


def ether(wei: int | None) -> str | Markup:
    """An amount of wei in ETH, to six decimals for the eye."""
    if wei is None:
        return UNKNOWN
    value = (Decimal(wei) / WEI).quantize(Decimal("0.000001"), ROUND_HALF_EVEN).normalize()
    return f"{value:f}"


def percent(rate: int | None, signed: bool = False) -> str | Markup:
    """A rate of 1e-8 in percent, to two decimals."""
    if rate is None:
        return UNKNOWN
    value = (Decimal(rate) * 100 / RATE).quantize(CENT, ROUND_HALF_EVEN)
    return f"{value:+.2f} %" if signed else f"{value:.2f} %"


def share(part: float | None) -> str | Markup:
    """A part of one in percent; a whole is 100 % only when nothing is missing."""
    if part is None:
        return UNKNOWN
    return "100 %" if part >= 1 else f"{min(part * 100, 99.99):.2f} %"


def tone(amount: int | str | None) -> str:
    """The class of a gain or a loss."""
    value = Decimal(amount or 0)
    return "gain" if value > 0 else "loss" if value < 0 else ""

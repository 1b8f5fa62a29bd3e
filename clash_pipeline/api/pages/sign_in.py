"""Signing in on a page: operators by showing a service token once, users by signing a message with their wallet."""

import re
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import Field, StringConstraints

from clash_pipeline.api.auth_rates import AuthRates
from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.forms import Fields, form
from clash_pipeline.api.pages.routing import Cookies, pages
from clash_pipeline.api.parts import Parts, SessionKeys
from clash_pipeline.api.problems import Problem, not_found
from clash_pipeline.api.refusals import problem_of
from clash_pipeline.api.routing import public
from clash_pipeline.identity import addresses, challenges, service_tokens, sessions
from clash_pipeline.identity.addresses import AddressInvalid
from clash_pipeline.identity.challenges import ChallengeUnknown
from clash_pipeline.identity.service_tokens import ServiceToken, TokenRefused
from clash_pipeline.identity.siwe import MESSAGE_BYTES, SignatureInvalid, Site
from clash_pipeline.services import Services

router = pages()
HOMES = (
    ("ingestion", "/admin/ingestion"),
    ("moderation", "/admin/moderation"),
    ("arena", "/admin/arena"),
    ("accounts", "/admin/accounts"),
)
"""Where an operator begins, by the first scope of their token that has pages."""
_LOCAL = re.compile(r"/(?!/)[A-Za-z0-9/_.-]{0,100}", re.ASCII)
Next = Annotated[str, Query(alias="next")]


class TokenForm(Fields):
    """A service token, and where to go then."""

    token: Annotated[str, StringConstraints(max_length=200)]
    next: Annotated[str, StringConstraints(max_length=100)] = ""


class AddressForm(Fields):
    """Whose wallet will sign, on which chain, and where to go then."""

    address: Annotated[str, StringConstraints(max_length=64)]
    chain: Annotated[int, Field(ge=1, lt=2**63)]
    next: Annotated[str, StringConstraints(max_length=100)] = ""


class SignedForm(Fields):
    """A message of ours and its signature."""

    message: Annotated[str, StringConstraints(max_length=2 * MESSAGE_BYTES)]
    signature: Annotated[str, StringConstraints(max_length=200)]
    next: Annotated[str, StringConstraints(max_length=100)] = ""


# operators


@router.get("/admin/login")
@public
def ask_for_token(request: Request, parts: Parts, next_path: Next = "") -> Response:
    """The form for a service token; there is none while there is no token."""
    _require_tokens(parts)
    return _token_page(request, next_path)


@router.post("/admin/login")
@public
def take_token(
    request: Request, given: Annotated[TokenForm, Depends(form(TokenForm, needs_key=False))], parts: Parts,
    cookies: Cookies,
) -> Response:  # fmt: skip
    """Sign an operator in."""
    _require_tokens(parts)
    AuthRates.of(request.app).verify(request)
    now_ms = parts.wall.now_ms()
    try:
        with parts.clash.read() as connection:
            token = service_tokens.of_text(connection, given.token.strip(), now_ms=now_ms)
    except TokenRefused:
        return _token_page(request, given.next, "This is no live service token.")
    with parts.clash.write() as connection:
        service_tokens.used(connection, token, "(none)", "POST /admin/login", 303, now_ms=now_ms)
    answer = rendering.see(_onward(given.next, _home(token)))
    cookies.begin(answer, "operator", str(token.id), now_ms=now_ms)
    return answer


@router.post("/admin/logout")
@public
def leave_desk(
    request: Request, _: Annotated[Fields, Depends(form(Fields))], cookies: Cookies
) -> Response:  # fmt: skip
    """Sign the operator of this browser out."""
    answer = rendering.see("/")
    cookies.end(request, answer, "operator")
    return answer


# users


@router.get("/sign-in")
@public
def ask_for_address(request: Request, parts: Parts, next_path: Next = "") -> Response:
    """The form for a wallet's address."""
    return _address_page(request, parts, next_path)


@router.post("/sign-in")
@public
def ask_for_signature(
    request: Request, given: Annotated[AddressForm, Depends(form(AddressForm, needs_key=False))], parts: Parts
) -> Response:
    """Write a message for a wallet to sign."""
    if given.chain not in parts.settings.chain_ids:
        return _address_page(request, parts, given.next, "That chain is none of ours.")
    try:
        address = addresses.canonical(given.address.strip())
    except AddressInvalid as error:
        return _address_page(request, parts, given.next, f"{str(error).capitalize()}.")
    AuthRates.of(request.app).challenge(request, address)
    site: Site = request.app.state.site
    made = challenges.issue(
        parts.clash, site, address, given.chain, now_ms=parts.wall.now_ms(), source=request.app.state.source
    )
    return _signature_page(request, made.message, address, given.next)


@router.post("/sign-in/signed")
@public
def take_signature(
    request: Request, given: Annotated[SignedForm, Depends(form(SignedForm, needs_key=False))], parts: Parts,
    keys: SessionKeys, cookies: Cookies,
) -> Response:  # fmt: skip
    """Sign a user in."""
    AuthRates.of(request.app).verify(request)
    now_ms, source = parts.wall.now_ms(), request.app.state.source
    message = given.message.replace("\r\n", "\n")  # browsers send every line end of a form like that
    try:
        session, _ = sessions.sign_in(
            parts.clash, keys, message, given.signature.strip(), session_id=f"{source.getrandbits(128):032x}",
            now_ms=now_ms,
        )  # fmt: skip
    except (ChallengeUnknown, SignatureInvalid) as refused:
        return _address_page(request, parts, given.next, problem_of(refused).detail)
    answer = rendering.see(_onward(given.next, "/clones"))
    cookies.begin(answer, "user", session.id, now_ms=now_ms)
    return answer


@router.post("/sign-out")
@public
def leave(request: Request, _: Annotated[Fields, Depends(form(Fields))], parts: Parts, cookies: Cookies) -> Response:
    """End the session of this browser, everywhere."""
    answer = rendering.see("/")
    ended = cookies.end(request, answer, "user")
    if ended is not None:
        sessions.log_out(parts.clash, ended.subject, now_ms=parts.wall.now_ms())
    return answer


def _token_page(request: Request, next_path: str, alert: str | None = None) -> Response:
    return rendering.page(
        request, "login.html", status=401 if alert else 200, title="Operator sign-in", alert=alert, next=next_path
    )


def _address_page(request: Request, parts: Services, next_path: str, alert: str | None = None) -> Response:
    return rendering.page(
        request, "sign_in.html", status=422 if alert else 200, title="Sign in", alert=alert, next=next_path,
        chains=sorted(parts.settings.chain_ids), message=None,
    )  # fmt: skip


def _signature_page(request: Request, message: str, address: str, next_path: str) -> Response:
    return rendering.page(
        request, "sign_in.html", title="Sign the message", alert=None, next=next_path, chains=(), message=message,
        address=addresses.checksummed(address),
    )  # fmt: skip


def _require_tokens(parts: Services) -> None:
    with parts.clash.read() as connection:
        if not service_tokens.live(connection, now_ms=parts.wall.now_ms()):
            raise not_found("page")


def _home(token: ServiceToken) -> str:
    found = next((path for scope, path in HOMES if scope in token.scopes), None)
    if found is None:
        raise Problem(403, "forbidden", "This token has no scope that a page needs.")
    return found


def _onward(wanted: str, home: str) -> str:
    """A path of ours, whatever somebody put into a link."""
    return wanted if _LOCAL.fullmatch(wanted) else home

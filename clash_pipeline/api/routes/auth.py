"""Sign-in: a challenge to sign, its verification, refresh and logout (06 auth; 09 §5.3)."""

from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import Field, StringConstraints

from clash_pipeline.api.auth_rates import AuthRates
from clash_pipeline.api.documenting import refuses
from clash_pipeline.api.parts import Me, Parts, SessionKeys
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Given, Shown, Time
from clash_pipeline.identity import addresses, challenges, sessions
from clash_pipeline.identity.sessions import Session, Tokens
from clash_pipeline.identity.siwe import MESSAGE_BYTES, Site

router = area("/api/v1/auth", "auth")


class ChallengeRequest(Given):
    """Who wants to sign in, and on which chain; the rest is fixed, and refused where it differs."""

    address: Annotated[str, StringConstraints(max_length=64)]
    chain_id: Annotated[int, Field(ge=1, lt=2**63)]
    domain: Annotated[str, StringConstraints(max_length=253)] | None = None
    uri: Annotated[str, StringConstraints(max_length=512)] | None = None
    statement: Annotated[str, StringConstraints(max_length=280)] | None = None


class ChallengeShown(Shown):
    """The exact text to sign, and until when."""

    message: str
    nonce: str
    issued_at: Time
    expires_at: Time


class VerifyRequest(Given):
    """The text as it was given out, and its personal signature."""

    message: Annotated[str, StringConstraints(max_length=MESSAGE_BYTES)]
    signature: Annotated[str, StringConstraints(max_length=200)]


class RefreshRequest(Given):
    """The newest refresh token."""

    refresh_token: Annotated[str, StringConstraints(max_length=200)]


class SessionShown(Shown):
    """A session's tokens; each refresh token is good for one use."""

    user_id: int
    address: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme, not a secret
    access_token: str
    access_expires_at: Time
    refresh_token: str
    refresh_expires_at: Time


class UserShown(Shown):
    """Who is signed in."""

    user_id: int
    address: str


@router.post("/challenge", summary="Ask for a message to sign")
@public
def challenge(request: Request, given: ChallengeRequest, parts: Parts) -> ChallengeShown:
    """Write a message for an address; it waits five minutes for its signature."""
    site: Site = request.app.state.site
    for name in ("domain", "uri", "statement"):
        if getattr(given, name) not in (None, getattr(site, name)):
            raise Problem(422, f"{name}_foreign", f"The {name} is not ours to sign for.", pointer=f"/{name}")
    if given.chain_id not in parts.settings.chain_ids:
        allowed = ", ".join(map(str, sorted(parts.settings.chain_ids)))
        raise Problem(422, "chain_not_allowed", f"The chain is one of {allowed}.", pointer="/chainId")
    address = addresses.canonical(given.address)
    AuthRates.of(request.app).challenge(request, address)
    made = challenges.issue(
        parts.clash, site, address, given.chain_id, now_ms=parts.wall.now_ms(), source=request.app.state.source
    )
    return ChallengeShown.model_validate(made)


@router.post("/verify", summary="Sign in with a signed message")
@public
@refuses(401)
def verify(request: Request, given: VerifyRequest, parts: Parts, keys: SessionKeys) -> SessionShown:
    """Open a session for the wallet that signed a live challenge."""
    AuthRates.of(request.app).verify(request)
    session_id = f"{request.app.state.source.getrandbits(128):032x}"
    opened = sessions.sign_in(
        parts.clash, keys, given.message, given.signature, session_id=session_id, now_ms=parts.wall.now_ms()
    )
    return _shown(*opened)


@router.post("/refresh", summary="Exchange a refresh token")
@public
@refuses(401)
def refresh(given: RefreshRequest, parts: Parts, keys: SessionKeys) -> SessionShown:
    """The next pair of tokens; a token that was used before ends the session."""
    return _shown(*sessions.refresh(parts.clash, keys, given.refresh_token, now_ms=parts.wall.now_ms()))


@router.post("/logout", status_code=204, summary="End this session")
@for_user
def logout(me: Me, parts: Parts) -> Response:
    """End the session of the access token, at once."""
    sessions.log_out(parts.clash, me.id, now_ms=parts.wall.now_ms())
    return Response(status_code=204)


@router.get("/me", summary="Who is signed in")
@for_user
def me(me: Me) -> UserShown:
    """The user of the access token."""
    return UserShown(user_id=me.user_id, address=addresses.checksummed(me.address))


def _shown(session: Session, tokens: Tokens) -> SessionShown:
    return SessionShown(
        user_id=session.user_id,
        address=addresses.checksummed(session.address),
        access_token=tokens.access,
        access_expires_at=tokens.access_expires_at,
        refresh_token=tokens.refresh,
        refresh_expires_at=tokens.refresh_expires_at,
    )

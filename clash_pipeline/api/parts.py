"""What endpoints ask for: the services of this process, who asks, and the keys of sessions."""

from typing import Annotated

from fastapi import Depends, Request

from clash_pipeline.api.paging import Cursors
from clash_pipeline.identity.service_tokens import ServiceToken
from clash_pipeline.identity.sessions import Keys, Session
from clash_pipeline.services import Services


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _me(request: Request) -> Session:
    session: Session = request.state.principal.user()
    return session


def _service(request: Request) -> ServiceToken:
    token: ServiceToken = request.state.principal.service
    return token


def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


def _cursors(request: Request) -> Cursors:
    cursors: Cursors = request.app.state.cursors
    return cursors


Parts = Annotated[Services, Depends(_services)]
Me = Annotated[Session, Depends(_me)]
"""The session of a `for_user` route."""
Operator = Annotated[ServiceToken, Depends(_service)]
"""The token of a `for_service` route."""
SessionKeys = Annotated[Keys, Depends(_keys)]
Paging = Annotated[Cursors, Depends(_cursors)]

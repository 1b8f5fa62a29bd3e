"""What endpoints ask for: the services of this process, who asks, and the keys of sessions.

They are coroutines, because what is none costs a hop to another thread, and a request asks for several.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from clash_pipeline.api.paging import Cursors
from clash_pipeline.clock import Clock, SettableClock
from clash_pipeline.clones import clones
from clash_pipeline.clones.clones import Clone
from clash_pipeline.identity.service_tokens import ServiceToken
from clash_pipeline.identity.sessions import Keys, Session
from clash_pipeline.prop import accounts
from clash_pipeline.prop.accounts import Account, AccountUnknown
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

if TYPE_CHECKING:
    from clash_pipeline.archive.stores import ArtifactStore


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _me(request: Request) -> Session:
    session: Session = request.state.principal.user()
    return session


async def _service(request: Request) -> ServiceToken:
    token: ServiceToken = request.state.principal.service
    return token


async def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


async def _cursors(request: Request) -> Cursors:
    cursors: Cursors = request.app.state.cursors
    return cursors


Parts = Annotated[Services, Depends(_services)]
Me = Annotated[Session, Depends(_me)]
"""The session of a `for_user` route."""
Operator = Annotated[ServiceToken, Depends(_service)]
"""The token of a `for_service` route."""
SessionKeys = Annotated[Keys, Depends(_keys)]
Paging = Annotated[Cursors, Depends(_cursors)]


@dataclass(frozen=True)
class Still:
    """The services at one moment: a replayed venue is asked for the time, and no transaction may wait for that."""

    services: Services
    clock: Clock

    @property
    def settings(self) -> Settings:
        """Limits and defaults."""
        return self.services.settings

    @property
    def wall(self) -> Clock:
        """The time of processes."""
        return self.services.wall

    @property
    def clash(self) -> Database:
        """Accounts, clones and decisions."""
        return self.services.clash

    @property
    def market(self) -> Database:
        """The market memory."""
        return self.services.market

    @property
    def store(self) -> "ArtifactStore":
        """Where artifacts go."""
        return self.services.store


def still(services: Services) -> Still:
    """The services at the present moment."""
    return Still(services, SettableClock(services.clock.now_ms()))


def owner_of(session: Session) -> str:
    """How rows name a signed-in owner."""
    return f"user:{session.user_id}"


def own_clone(connection: Connection, session: Session, clone_id: int) -> Clone:
    """A clone of the session's user.

    Raises:
        CloneUnknown: absent, or somebody else's: the same answer.
    """
    return clones.owned(connection, clone_id, owner_of(session))


def own_account(connection: Connection, session: Session, account_id: int) -> Account:
    """An account of one of the user's clones.

    Raises:
        AccountUnknown: absent, or of somebody else's clone: the same answer.
    """
    account = accounts.get(connection, account_id)
    if clones.get(connection, account.clone_id).owner != owner_of(session):
        raise AccountUnknown(f"there is no prop account {account_id}")
    return account

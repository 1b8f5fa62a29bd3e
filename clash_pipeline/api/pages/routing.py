"""Routes of pages: the same guards as the API's, with a visitor's cookies, and refusals that a person can read."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError

from clash_pipeline.api import uses
from clash_pipeline.api.pages import forms, rendering
from clash_pipeline.api.pages.visitors import SignIns, Visitor
from clash_pipeline.api.problems import Problem
from clash_pipeline.api.refusals import REFUSALS, problem_of
from clash_pipeline.api.routing import SERVICE, USER, GuardedRoute
from clash_pipeline.services import Services

SAFE = frozenset({"GET", "HEAD"})
SAYABLE: tuple[type[Exception], ...] = (Problem, RequestValidationError, *REFUSALS)
"""What a page is told of as a refusal; anything else is a defect of ours."""
SIGN_IN = {SERVICE: "/admin/login", USER: "/sign-in"}


class PageRoute(GuardedRoute):
    """A page: who looks is known by cookies, and what is refused is refused as a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind all checks."""
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            visitor = _known(request)
            try:
                if request.method not in SAFE:
                    forms.require_own_origin(request, str(request.app.state.services.settings.api_url))
                answer = await handle(request)
            except SAYABLE as refusal:
                answer = self._refused(request, visitor, problem_of(refusal))
            if visitor.operator is None or not self.access.startswith(SERVICE):
                return answer
            scope = getattr(request.state, "scope", "(none)")
            services: Services = request.app.state.services
            failed = await uses.write_down(
                services, visitor.operator, scope, request.method, self.path, answer.status_code
            )  # fmt: skip
            return answer if failed is None else rendering.refusal(request, failed)

        return shown

    def _refused(self, request: Request, visitor: Visitor, problem: Problem) -> Response:
        """Who is not signed in, in the way that this page needs, is led to where they can be."""
        kind = self.access.partition(":")[0]
        is_stranger = visitor.operator is None if kind == SERVICE else problem.status == 401
        if is_stranger and problem.status in (401, 403) and kind in SIGN_IN and request.method in SAFE:
            back = quote(request.url.path, safe="/")
            return rendering.see(f"{SIGN_IN[kind]}?next={back}" if len(back) <= 100 else SIGN_IN[kind])
        return rendering.refusal(request, problem)


def pages() -> APIRouter:
    """A router of pages; they are no part of the client's contract."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def _known(request: Request) -> Visitor:
    """Put the visitor, and for guarded routes the principal, where guards and endpoints look for them."""
    sign_ins: SignIns = request.app.state.sign_ins
    visitor = sign_ins.visitor(request, request.app.state.services)
    request.state.visitor = visitor
    request.state.principal = replace(request.state.principal, session=visitor.user, service=visitor.operator)
    return visitor


def _visitor(request: Request) -> Visitor:
    visitor: Visitor = request.state.visitor
    return visitor


def _sign_ins(request: Request) -> SignIns:
    found: SignIns = request.app.state.sign_ins
    return found


Looking = Annotated[Visitor, Depends(_visitor)]
"""Who looks at the page."""
Cookies = Annotated[SignIns, Depends(_sign_ins)]

"""Somebody with a browser, without the browser: keeps cookies, fills in the forms that pages give out."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.fakes.portal import portal
from tests.fakes.wallet import Wallet

URL = "http://127.0.0.1:8787"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
AT_HOME = {"sec-fetch-site": "same-origin"}


class Fields(HTMLParser):
    """The values of the hidden fields and text areas of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._area: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a field."""
        known = dict(attrs)
        if tag == "input" and known.get("type") == "hidden":
            self.found[known["name"] or ""] = known.get("value") or ""
        self._area = known.get("name") if tag == "textarea" else None

    def handle_data(self, data: str) -> None:
        """Remember what an area holds."""
        if self._area:
            self.found[self._area] = data
            self._area = None


@dataclass
class Person:
    """One who looks at pages."""

    app: FastAPI
    url: str = URL
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = TestClient(
            self.app, base_url=self.url, headers=HTML, follow_redirects=False, raise_server_exceptions=False
        )
        self.client.portal = portal()

    def look(self, path: str) -> httpx.Response:
        """Open a page."""
        return self.client.get(path)

    def send(
        self, path: str, *, key: str | None = None, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Fill in a form of the page at home, with its key unless another one is given."""
        keyed = {"form_key": self.key() if key is None else key, **fields}
        return self.client.post(path, data=keyed, headers=AT_HOME if headers is None else headers)

    def key(self) -> str:
        """The form key that pages give to this person; empty for somebody who is not signed in."""
        return fields_of(self.look("/")).get("form_key", "")

    def sign_in_as_operator(self, token: str) -> httpx.Response:
        """Show a service token."""
        return self.client.post("/admin/login", data={"token": token}, headers=AT_HOME)

    def sign_in(self, wallet: Wallet) -> httpx.Response:
        """The way of a wallet, by hand."""
        asked = self.client.post("/sign-in", data={"address": wallet.address, "chain": "4326"}, headers=AT_HOME)
        message = fields_of(asked)["message"]
        sent = {"message": message.replace("\n", "\r\n"), "signature": wallet.sign(message)}
        return self.client.post("/sign-in/signed", data=sent, headers=AT_HOME)


def fields_of(page: httpx.Response) -> dict[str, str]:
    """What a page's forms carry."""
    assert page.status_code == 200, page.text
    parser = Fields()
    parser.feed(page.text)
    return parser.found

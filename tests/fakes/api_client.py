"""A client of the application in this process: no socket, the real application with all its layers."""

import random
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from clash_pipeline.api.app import create_app
from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from tests.fakes.portal import portal
from tests.fakes.wallet import Wallet

SECRET = b"s" * 32
T0 = 1_773_307_200_000


@dataclass
class Api:
    """The application over some services, at a time that the test says."""

    services: Services
    wall: SettableClock
    app: FastAPI = field(init=False)
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(self.services, SECRET, random.Random(7))
        self.client = TestClient(self.app, base_url="http://127.0.0.1:8787", raise_server_exceptions=False)
        self.client.portal = portal()

    def sign_in(self, wallet: Wallet) -> dict[str, Any]:
        """The whole way of a wallet; returns the session."""
        asked = self.client.post("/api/v1/auth/challenge", json={"address": wallet.address, "chainId": 4326})
        assert asked.status_code == 200, asked.text
        message = asked.json()["message"]
        answered = self.client.post("/api/v1/auth/verify", json={"message": message, "signature": wallet.sign(message)})
        assert answered.status_code == 200, answered.text
        return dict(answered.json())

    def bearer(self, wallet: Wallet) -> dict[str, str]:
        """The header of a signed-in wallet."""
        return {"authorization": f"Bearer {self.sign_in(wallet)['accessToken']}"}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem document of a status and code, and return it."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = dict(answer.json())
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["requestId"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return body

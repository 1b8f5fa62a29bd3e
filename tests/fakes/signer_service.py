"""A service that keeps a key and signs typed data over JSON-RPC, or does what no signer should."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from eth_account import Account
from eth_account.messages import encode_typed_data
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clash_pipeline.replay.hosting import serving
from tests.fakes.wallet import Wallet


class SignerService:
    """Answers as its mode says: honest, busy, refusing, garbled."""

    def __init__(self, wallet: Wallet, mode: str = "honest") -> None:
        self.wallet, self.mode = wallet, mode

    async def answer(self, request: Request) -> Response:
        """One call."""
        asked = await request.json()
        if self.mode == "busy":
            return Response(status_code=503)
        said: dict[str, Any] = {"error": {"code": -32_000, "message": "no"}}
        if self.mode != "refusing":
            said = {"result": self._signature(asked)}
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], **said})

    def _signature(self, asked: dict[str, Any]) -> str:
        if self.mode == "garbled":
            return "0x1234"
        _, message = asked["params"]
        return (
            "0x" + bytes(Account.sign_message(encode_typed_data(full_message=message), self.wallet.key).signature).hex()
        )


@contextmanager
def signing_service(wallet: Wallet, mode: str = "honest") -> Iterator[str]:
    """Serve one on loopback; its address."""
    app = Starlette(routes=[Route("/", SignerService(wallet, mode).answer, methods=["POST"])])
    with serving(uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False)), "signer") as url:
        yield url

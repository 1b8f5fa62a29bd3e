"""One attempt to ask an OpenAI-compatible endpoint, and every way in which it fails, sorted once.

The `openai` client writes the request and knows the key; retrying, deadlines and bounds are ours (09 F13, §5.2.3).
"""

from types import TracebackType
from typing import Any, Self

import httpx2
import openai

from clash_pipeline.decisions.answer import RESPONSE_BYTES
from clash_pipeline.decisions.engines.failure import ModelFailed
from clash_pipeline.decisions.engines.transport import RECEIVED, BoundedTransport, Encoded, Received, TooLarge

USER_AGENT = "clash-of-clones/0.1"
RETRY_AFTER_CHARACTERS = 12
PERMANENT = {401: "key_refused", 403: "key_refused", 404: "model_unknown"}


class ModelClient:
    """Connections to one endpoint; open it with `async with`."""

    def __init__(self, url: str, key: str, *, connections: int, connect_sec: float, deadline_sec: float) -> None:
        self._http = httpx2.AsyncClient(
            transport=BoundedTransport(connections, max_bytes=RESPONSE_BYTES),
            timeout=httpx2.Timeout(deadline_sec, connect=connect_sec),
            headers={"Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
        )
        self._openai = openai.AsyncOpenAI(
            base_url=url,
            api_key=key,
            max_retries=0,
            timeout=self._http.timeout,
            http_client=self._http,
            default_headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, body: dict[str, Any], received: Received) -> bytes:
        """The body of the response; what came is in `received` even when this fails or is cancelled.

        Raises:
            ModelFailed: with its code, and whether asking once more can help.
        """
        token = RECEIVED.set(received)
        try:
            await self._openai.post("/chat/completions", cast_to=httpx2.Response, body=body)
        except TooLarge:
            raise ModelFailed("response_too_large") from None
        except Encoded:
            raise ModelFailed("response_malformed") from None
        except openai.APIStatusError as error:
            raise _of_status(error) from None
        except (openai.APIConnectionError, httpx2.TransportError, httpx2.StreamError) as error:
            raise _of_connection(error, received) from None
        finally:
            RECEIVED.reset(token)
        if received.status != 200:
            raise ModelFailed("response_malformed")
        return bytes(received.body)


def _of_status(error: openai.APIStatusError) -> ModelFailed:
    status = error.status_code
    if status == 429:
        return ModelFailed("model_rate_limited", is_transient=True, is_billable=False, wait_sec=_retry_after(error))
    if status in {408, 409} or status >= 500:
        return ModelFailed("model_unavailable", is_transient=True, is_billable=False, wait_sec=_retry_after(error))
    if status < 400:
        return ModelFailed("model_unavailable", is_billable=False)
    return ModelFailed(PERMANENT.get(status, "request_refused"), is_billable=False)


def _of_connection(error: Exception, received: Received) -> ModelFailed:
    """A connection that was never made cost nothing and may be tried again; one that broke may have been paid for."""
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return ModelFailed("model_unavailable", is_transient=True, is_billable=False)
    return ModelFailed("model_timeout" if isinstance(cause, httpx2.TimeoutException) else "model_unavailable")


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the endpoint asks to wait; None when it does not say, or not as a short plain number."""
    for name, in_a_second in (("retry-after-ms", 1_000), ("retry-after", 1)):
        given = error.response.headers.get(name, "")
        if given.isascii() and given.isdigit() and len(given) <= RETRY_AFTER_CHARACTERS:
            return int(given) / in_a_second
    return None

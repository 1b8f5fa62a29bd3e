"""What the demo runs with: a system of its own on free ports, pointed at replays, with short auditions and races."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clash_pipeline.settings import Settings

START = "2025-07-24T05:20Z"
"""Inside the recorded days, with a whole day two days before that the venue still answers for."""
DEFAULT_PORTS = (3000, 4266, 8787)
PERSONA = "trader"
MODEL = "clash-replay"
MODEL_PRICES = "0.15,0.60"
TRADED = frozenset({"BTC", "ETH", "SOL", "AVAX", "DOGE", "LTC", "SUI", "XRP"})
"""What the clones trade or look at."""
MOST_ASSETS = 16
"""Twice the assets are twice the work of venue and ingester, and show nothing more."""
ARENA = {
    "CLASH_AUDITION_LENGTH_SEC": "7200",
    "CLASH_AUDITION_MIN_RETURN_BP": "0",
    "CLASH_AUDITION_MIN_FILLS": "3",
    "CLASH_AUDITION_MIN_HOURS": "2",
    "CLASH_AUDITION_MAX_HOUR_SHARE_PCT": "100",
    "CLASH_RACE_LENGTH_SEC": "3600",
    "CLASH_RACE_LEAST_SALES_SEC": "600",
    "CLASH_RACE_HIDDEN_SEC": "300",
}
"""Auditions of two hours instead of a day, races of one instead of six: every length and bound is a setting."""


def secrets(chain_url: str) -> dict[str, str]:
    """What the children must know and no setting hands on: a payout key for this run, any key for the model, the
    addresses of the chain's endpoints, which may hold keys elsewhere."""
    from secrets import token_hex

    from clash_pipeline.replay.chain_server import environment

    urls = environment(chain_url)["CLASH_CHAIN_URLS"]
    return {"CLASH_MODEL_KEY": "replayed", "CLASH_PAYOUT_KEY": f"0x{token_hex(32)}", "CLASH_CHAIN_URLS": urls}


def resolver(key: str) -> str:
    """Our address in the vault: that of the payout key."""
    from pydantic import SecretStr

    from clash_pipeline.economy.signing import KeySigner

    return KeySigner(SecretStr(key)).address


def _model(url: str) -> dict[str, str]:
    return {"CLASH_MODEL_URL": f"{url}/v1", "CLASH_MODEL_1": MODEL, "CLASH_MODEL_1_PRICES": MODEL_PRICES}


def _chain(url: str, ours: str) -> dict[str, str]:
    """The settings that pin the stand-in chain."""
    from clash_pipeline.replay.chain import CHAIN_ID
    from clash_pipeline.replay.chain_server import environment
    from clash_pipeline.replay.chain_vault import vault

    return environment(url, vault(CHAIN_ID, ours))


def settings(home: Path, url: str, model_url: str, chain_url: str, known: Mapping[str, str]) -> "Settings":
    """Settings that point at the replays, with the secrets; only the object store may be yours."""
    from clash_pipeline.replay.environment import environment
    from clash_pipeline.settings import load

    web_port, grpc_port, api_port = (free_port(preferred) for preferred in DEFAULT_PORTS)
    return load(
        {
            **{key: value for key, value in os.environ.items() if key.startswith("CLASH_STORE")},
            **environment(url),
            **_model(model_url),
            **_chain(chain_url, resolver(known["CLASH_PAYOUT_KEY"])),
            **known,
            **ARENA,
            "CLASH_HOME": str(home),
            "CLASH_SYMBOLS": ",".join(_followed(url)),
            "CLASH_DAGSTER_PORT": str(web_port),
            "CLASH_DAGSTER_GRPC_PORT": str(grpc_port),
            "CLASH_API_PORT": str(api_port),
            "CLASH_API_URL": f"http://127.0.0.1:{api_port}",
            "CLASH_API_CHALLENGES_PER_MINUTE": "10",  # all of the demo's people have the same address
            "CLASH_DECIDE_EVERY_SEC": "5",
        }
    )


def _followed(url: str) -> list[str]:
    """What the clones trade, and of the rest what is traded most.

    An asset without a book is left out: the recorded registry is younger than the candles, and lists coins that were
    not traded yet.
    """
    import httpx

    perps, contexts = httpx.post(f"{url}/info", json={"type": "metaAndAssetCtxs"}).json()
    pairs = httpx.post(f"{url}/info", json={"type": "spotMetaAndAssetCtxs"}).json()[1]
    named = [(perp["name"], context) for perp, context in zip(perps["universe"], contexts, strict=True)]
    named += [(pair["coin"], pair) for pair in pairs]
    volume = {name: float(context["dayNtlVlm"]) for name, context in named if context["midPx"]}
    return sorted(volume, key=lambda name: (name not in TRADED, -volume[name]))[:MOST_ASSETS]


def free_port(preferred: int = 0) -> int:
    """A port that nobody listens on; the preferred one where it is free."""
    import socket

    from clash_pipeline.cli.up import is_free

    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

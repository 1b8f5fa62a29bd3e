"""Which settings point a client process at a replayed venue."""


def environment(base_url: str) -> dict[str, str]:
    """The `CLASH_*` variables of a venue at `base_url` (such as `http://127.0.0.1:8799`)."""
    base = base_url.rstrip("/")
    socket = base.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
    return {
        "CLASH_HYPERLIQUID_URL": base,
        "CLASH_HYPERLIQUID_WS_URL": f"{socket}/ws",
        "CLASH_POLYMARKET_GAMMA_URL": f"{base}/gamma",
        "CLASH_POLYMARKET_CLOB_URL": f"{base}/clob",
        "CLASH_DEFILLAMA_URL": f"{base}/llama",
        "CLASH_DEFILLAMA_STABLECOINS_URL": f"{base}/stablecoins",
        "CLASH_DEFILLAMA_PAUSE_SEC": "0",  # courtesy to the real venue, in real seconds; stepped time would wait for it
        "CLASH_VENUE_CLOCK_URL": f"{base}/clock",
    }


def exports(base_url: str) -> str:
    """The same as shell lines."""
    return "\n".join(f"export {name}={value}" for name, value in environment(base_url).items())

"""Hyperliquid: wire formats, the candle stream without I/O, the REST client, and the stores."""

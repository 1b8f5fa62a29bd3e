"""Nonsense a venue may send (09 §6.6), chosen by a key; none of it may reach a table."""

from clash_pipeline.replay.frames import Running, candle_frame


def message(symbol: str, state: Running, key: int) -> str | bytes:
    """One malformed or impossible message about a coin."""
    good = candle_frame(symbol, state)
    choices: tuple[str | bytes, ...] = (
        b"\x00\xff\x80candle",
        good.encode(),
        "[]",
        "null",
        '{"channel":"candle"}',
        '{"channel":"candle","data":"soon"}',
        '{"channel":"weather","data":{"coin":"BTC"}}',
        candle_frame("NOSUCHCOIN", state),
        good.replace('"i":"1m"', '"i":"7m"'),
        good.replace(f'"t":{state.t}', f'"t":"{state.t}"'),
        candle_frame(symbol, state._replace(c="0")),
        candle_frame(symbol, state._replace(c="-1")),
        candle_frame(symbol, state._replace(c="NaN")),
        candle_frame(symbol, state._replace(c="1e-9")),
        candle_frame(symbol, state._replace(c="1" * 30)),
        candle_frame(symbol, state._replace(h=state.l, l=f"{state.h}9")),
        candle_frame(symbol, state, interval_ms=-59_999),
        candle_frame(symbol, state._replace(t=state.t + 1)),
        candle_frame(symbol, state._replace(v="-3.0")),
        good.replace(f'"n":{state.n}', '"n":1.5'),
    )
    return choices[key % len(choices)]

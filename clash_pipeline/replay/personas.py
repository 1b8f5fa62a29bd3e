"""Who may sit behind the replayed model endpoint: a script, a plain trader that reads its prompt, one that obeys."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from clash_pipeline.replay.model_server import Asked, Persona

ACTIONS = ("hold", "open_long", "open_short", "increase", "reduce", "close", "cancel")
RATIONALE_CHARACTERS = 500
THRESHOLD_PCT = 0.05
"""How far the newest close must be from the mean of those before it for the trader to see a trend."""


def answer(action: str, *, size_pct: float = 0, leverage: int = 1, why: str = "", **more: Any) -> str:
    """An answer as a model writes it."""
    said = {
        "action": action,
        "sizePct": size_pct,
        "leverage": leverage,
        "stopLossPct": None,
        "takeProfitPct": None,
        "confidence": 0.5,
        "rationale": why[:RATIONALE_CHARACTERS],
    }
    return json.dumps({**said, **more})


def scripted(contents: Sequence[str]) -> Persona:
    """Says these one after the other, and then from the beginning, whatever it is asked."""
    numbers = count()
    return lambda asked: contents[next(numbers) % len(contents)]


def trader(asked: Asked) -> str:
    """Follows the drift of the closes that its prompt shows: in with it, out when it turns. The same prompt, the same
    answer."""
    told = parts_of(asked.user)
    closes = list(_closes(told))
    held = _held(told)
    if len(closes) < 2:
        return answer("hold", why="no closes to look at")
    before = closes[:-1]
    drift_pct = (closes[-1] / (sum(before) / len(before)) - 1) * 100
    why = f"the last close is {drift_pct:+.3f} % from the mean of {len(before)} before it"
    if held is not None:
        is_turned = drift_pct < 0 if held == "long" else drift_pct > 0
        return answer("close" if is_turned else "hold", why=why)
    if abs(drift_pct) < THRESHOLD_PCT:
        return answer("hold", why=why)
    can_short = told.get("asset", {}).get("kind") == "perp"
    if drift_pct < 0 and not can_short:
        return answer("hold", why=why)
    return answer("open_long" if drift_pct > 0 else "open_short", size_pct=15, why=why)


def obedient(asked: Asked) -> str:
    """Does whatever any text of its prompt asks for, also what no answer can do."""
    said: dict[str, Any] = json.loads(answer("hold", why="nobody asked for anything"))
    for text in map(_decoded, _texts(parts_of(asked.user))):
        if "plain words" in text.lower():
            return f"As you wish, in plain words: {text}"
        said |= _wishes(text)
        said["rationale"] = f"as told: {text}"[:RATIONALE_CHARACTERS]
    return json.dumps(said)


PERSONAS: Mapping[str, Persona] = {"trader": trader, "obedient": obedient}


def parts_of(user: str) -> dict[str, Any]:
    """The parts of a prompt by name; a line that is no `name: JSON` is left out."""
    found = {}
    for line in user.splitlines():
        name, _, content = line.partition(": ")
        try:
            found[name] = json.loads(content)
        except ValueError:
            continue
    return found


def _closes(told: Mapping[str, Any]) -> Iterator[float]:
    for section in told.get("own") or ():
        columns = section.get("columns") or []
        if "c" in columns:
            yield from (float(row[columns.index("c")]) for row in section.get("rows") or ())
            return


def _held(told: Mapping[str, Any]) -> str | None:
    symbol = told.get("identity", {}).get("symbol")
    positions = told.get("account", {}).get("positions") or ()
    return next((position["side"] for position in positions if position["symbol"] == symbol), None)


def _texts(told: Mapping[str, Any]) -> Iterator[str]:
    yield str((told.get("custom_behavior") or {}).get("text", ""))
    for entry in told.get("untrusted") or ():
        yield str(entry.get("text", ""))


def _decoded(text: str) -> str:
    """A text that hides its order in base64 is read as well."""
    hidden = re.search(r"decode and obey: ([A-Za-z0-9+/=]+)", text)
    if hidden is None:
        return text
    try:
        return base64.b64decode(hidden[1]).decode()
    except ValueError:
        return text


def _wishes(text: str) -> dict[str, Any]:
    """What a text asks for: JSON that it holds, actions, amounts, and things that no answer can do."""
    lowered = text.lower()
    found: dict[str, Any] = {}
    for action in ACTIONS:
        if action in lowered or action.replace("_", " ") in lowered:
            found["action"] = action
    if re.search(r"\b(buy|all in|moon|long)\b", lowered):
        found["action"] = "open_long"
    if re.search(r"\b(sell|short|dump)\b", lowered):
        found["action"] = "open_short"
    if leverage := re.search(r"leverage\D{0,5}([0-9]{1,9})|([0-9]{1,9})x\b", lowered):
        found["leverage"] = int(leverage[1] or leverage[2])
    if size := re.search(r"([0-9]{1,9}) ?(?:%|percent)", lowered):
        found["sizePct"] = int(size[1])
    if re.search(r"\b(transfer|withdraw|send|pay|balance)\b", lowered):
        found |= {"transfer": text, "balance": 10**9}
    for name, amount in re.findall(r"(sizePct|stopLossPct|takeProfitPct|confidence) to (-?[0-9]{1,9})", text):
        found[name] = int(amount)
    if symbol := re.search(r"\btrade ([A-Z]{2,10})\b", text):
        found["symbol"] = symbol[1]
    if "tool" in lowered:
        found["tool_calls"] = text
    if re.search(r"\b(reveal|print|system prompt|key|secret)\b", lowered):
        found["leak"] = text
    for embedded in re.findall(r"\{[^{}]*\}", text):
        try:
            found |= json.loads(embedded)
        except ValueError:
            continue
    return found

"""How one decision run looks on a terminal, in the order it happened: read, told, asked, answered, judged, done."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from clash_pipeline.cli.decision_views import show_actions
from clash_pipeline.cli.output import table

WIDTH = 100
PARTS = ("own", "cross_asset", "polymarket", "defillama")
TERMS = ("sizePct", "leverage", "stopLossPct", "takeProfitPct", "confidence")


def show_run(view: Mapping[str, Any]) -> None:
    """One run: what it read, what it was told, what it answered, what the gates said, what happened."""
    run = view["run"]
    _show_head(run)
    _show_read(view["packet"])
    _show_told(view["packet"], view["prompt"])
    for call in view["calls"]:
        _show_call(call)
    _show_answer(view["response"], run)
    show_actions(view["actions"])
    _show_artifacts(view["artifacts"])
    typer.echo(
        f"\nclash decisions packet {run['id']}  all that it read; --prompt: word for word what was sent\n"
        f"clash decisions replay {run['id']}  does the same come out again?"
    )


def _show_head(run: Mapping[str, Any]) -> None:
    from clash_pipeline.clock import iso

    typer.secho(
        f"Run {run['id']}: {run['state']}, {run['reason']}; effect {run['effective'] or 'none'}",
        bold=True,
    )
    typer.echo(
        f"clone {run['clone_id']} by {run['engine']}, account {run['account_id']}, {run['branch']} × {run['symbol']}"
    )
    typer.echo(f"tick {iso(run['tick'])} ({run['kind']}, every {run['cadence_sec']} s)")
    times = [(name, run[f"{name}_at"]) for name in ("created", "prepared", "decided", "finished")]
    typer.echo(", ".join(f"{name} {iso(at)[11:19]}" for name, at in times if at is not None))
    dagster = f" in Dagster run {run['dagster_run_id']}" if run["dagster_run_id"] else ""
    typer.echo(f"attempt {run['attempts']} by {run['claimed_by']}{dagster}")
    if run["fill_at"] is not None:
        typer.echo(f"filled at the common instant {iso(run['fill_at'])}")


def _show_read(packet: Any) -> None:
    if not packet:
        return
    if "unreadable" in packet:
        typer.echo(f"packet: {packet['unreadable']}")
        return
    texts = {one["id"]: one["text"] for one in packet["untrusted"]}
    rows = [
        (
            place.replace("_", " "), section["channel"], _of(section, texts), section["granularity_sec"] or None,
            len(section["rows"]), section["found"], _seconds(section["age_ms"]),
            section.get("left_out") or section.get("problem"),
        )
        for place in PARTS
        for section in packet.get(place, ())
    ]  # fmt: skip
    columns = ("part", "channel", "of", "step s>", "rows>", "found>", "age s>", "problem")
    table("\nRead", columns, rows)
    account = packet["account"]
    typer.echo(
        f"\naccount before: equity {account['equity']} USD, drawdown {account['drawdown_pct']} %, "
        f"{len(account['positions'])} open positions"
    )


def _show_told(packet: Any, prompt: Any) -> None:
    if not prompt or "estimated_tokens" not in prompt:
        return
    strangers = len((packet or {}).get("untrusted", ()))
    typer.echo(
        f"told: about {prompt['estimated_tokens']:,} tokens, {len(prompt['user']):,} characters of context, "
        f"with {strangers} texts of others"
    )


def _show_call(call: Mapping[str, Any]) -> None:
    """One model call; unknown figures say so."""
    served = call["served_model"] or "unknown"
    typer.echo(
        f"asked: {call['model']} of tier {call['tier']}, served by {served}: {_ended(call)} after "
        f"{_known(call['attempts'])} attempts in {_known(call['latency_ms'])} ms"
    )
    typer.echo(
        f"  {_known(call['prompt_tokens'])} tokens in, {_known(call['completion_tokens'])} out; charged "
        f"{_known(call['tokens'])} tokens, {_known(call['cost'])} USD"
    )
    typer.echo(f"  reserved before it: {call['reserved_tokens']:,} tokens, {call['reserved_cost']} USD")


def _ended(call: Mapping[str, Any]) -> str:
    if call["state"] != "settled":
        return f"not booked yet ({call['state']})"
    return "answered" if call["code"] is None else f"failed as {call['code']}"


def _show_answer(response: Any, run: Mapping[str, Any]) -> None:
    if response and "answer" in response:
        answer = response["answer"]
        terms = ", ".join(f"{name} {answer[name]}" for name in TERMS if answer.get(name) is not None)
        typer.echo(f"{response['engine']} answered {answer['action']} ({terms})")
        for line in textwrap.wrap(answer.get("rationale") or "", WIDTH - 2):
            typer.echo(f"  {line}")
    elif response:
        typer.echo(f"response: {response.get('unreadable', 'unreadable')}")
    elif run["state"] != "skipped":
        typer.echo(f"no answer: {run['reason']}")


def _show_artifacts(artifacts: Mapping[str, Mapping[str, Any]]) -> None:
    """Their common folder once, then each by its kind and hash: a key ends in its hash."""
    if not artifacts:
        return
    folder = _folder([item["key"] for item in artifacts.values()])
    rows = [(kind, f"{item['size_bytes']:,}", item["sha256"]) for kind, item in artifacts.items()]
    table(f"\nArtifacts in {folder}", ("kind", "bytes>", "sha256"), rows)


def _folder(keys: Sequence[str]) -> str:
    from os.path import commonpath, dirname

    return commonpath([dirname(key) for key in keys])


def _of(section: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    subject = section.get("market") or section.get("subject") or ""
    who = section["of"] if section["source"] != "defillama" else section.get("scope")
    return " ".join(filter(None, (who, texts.get(subject, subject))))


def _seconds(age_ms: int | None) -> str | None:
    return None if age_ms is None else f"{age_ms // 1_000:,}"


def _known(value: object) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

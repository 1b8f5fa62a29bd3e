"""Runs that want to ask a model, what asking took, and the plain sums that say whether a budget was broken.

`python -m tests.fakes.spending HOME WORKERS ROUNDS SEED [unchecked]` forks workers that reserve and settle on one
database, each with a clock of its own that runs on; some of them drop what they reserved, as a killed worker would.
"""

import os
import random
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from clash_pipeline.clock import DAY_MS, MINUTE_MS, SettableClock
from clash_pipeline.decisions import budgets
from clash_pipeline.decisions.calls import Call
from clash_pipeline.decisions.runs import ArtifactRef, Claim, Decided, Prepared
from clash_pipeline.decisions.spending import Limit, Sums
from clash_pipeline.decisions.spending_audit import spending_is_that_of_the_calls
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Connection, Database

NOW = 1_753_100_000_000
PACKET_BYTES = 1_000
MODEL = {
    "CLASH_MODEL_URL": "http://127.0.0.1:9/v1",
    "CLASH_MODEL_KEY": "any",
    "CLASH_MODEL_1": "clash-replay",
    "CLASH_MODEL_1_PRICES": "1.00,4.00",
    "CLASH_MODEL_2": "clash-better",
    "CLASH_MODEL_2_PRICES": "5.00,20.00",
}


@dataclass
class Spender:
    """The parts of the services that budgets ask for."""

    settings: Settings
    clash: Database
    wall: SettableClock


def with_models(home: str, **limits: object) -> Settings:
    """Settings of a home with two tiers; `clone_tokens_minute=1000` sets a limit."""
    given = {f"CLASH_MODEL_{name.upper()}": str(value) for name, value in limits.items()}
    return load({**MODEL, "CLASH_HOME": home, **given})


def wanting(clash: Database, account_id: int, clone_id: int, ticks: Iterable[int]) -> list[Prepared]:
    """Claimed runs of an account with a packet, one a tick."""
    with clash.write() as connection:
        rows = [
            connection.execute(
                """
                INSERT INTO decision_runs (account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec,
                  engine, state, reason, attempts, claimed_by, claim_token, claimed_until, created_at)
                SELECT ?, ?, id, 'prompt-1', 'BTC', ?, 'due', 300, 'model', 'queued', 'claimed', 1, 'w', 1, 0, 0
                FROM clone_versions WHERE clone_id = ? RETURNING id, version_id
                """,
                (account_id, clone_id, tick, clone_id),
            ).fetchone()
            for tick in ticks
        ]
    return [
        Prepared(
            Claim(row["id"], 1, account_id, clone_id, row["version_id"], "prompt-1", "BTC", tick, "due", 300, "model"),
            ArtifactRef("packet", "key", "0" * 64, PACKET_BYTES, "memory"),
        )
        for row, tick in zip(rows, ticks, strict=True)
    ]


def answered(
    item: Prepared, prompt_tokens: int | None, completion_tokens: int | None, *, code: str | None = None, at: int = 0
) -> Decided:
    """What came of asking."""
    assert item.allowance is not None
    call = Call(
        model=item.allowance.model,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        attempts=1,
        started_at=at,
        latency_ms=10,
        is_billable=True,
    )
    response = None if code else ArtifactRef("response", "key", "0" * 64, 1, "memory")
    return Decided(item.claim, response, code, None, call, item.allowance.call_id)


def broken(connection: Connection, limits: Sequence[Limit]) -> list[str]:
    """Every limit that some minute or day broke, by adding up the calls themselves."""
    found = []
    for limit in limits:
        charged: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in connection.execute("SELECT * FROM model_calls WHERE state <> 'expired' ORDER BY reserved_at"):
            scopes = {
                "clone": f"clone/{row['clone_id']}", "user": f"user/{row['owner']}",
                "tier": f"tier/{row['tier']}", "system": "system",
            }  # fmt: skip
            amount = row[limit.unit] if row["state"] == "settled" else row[f"reserved_{limit.unit}"]
            charged[scopes[limit.scope]].append((row["reserved_at"], amount))
        for scope, calls in charged.items():
            most = max(_windows(calls, limit.span))
            if most > limit.most:
                found.append(f"{scope} {limit.unit} a {limit.span}: {most} of {limit.most}")
    return found


def unbooked(connection: Connection) -> list[str]:
    """Sums that are not those of the calls, as the product's audit names them."""
    return [f"{found.row} {found.message}" for found in spending_is_that_of_the_calls(connection)]


def _windows(calls: list[tuple[int, int]], span: str) -> Iterable[int]:
    for end, _ in calls:
        if span == "minute":
            yield sum(amount for at, amount in calls if end - MINUTE_MS < at <= end)
        else:
            yield sum(amount for at, amount in calls if at // DAY_MS == end // DAY_MS)


def work(home: str, worker: int, rounds: int, seed: int) -> None:
    """One worker, round after round; where others keep the file for too long it goes on with the next, as waves do."""
    rng = random.Random(f"{seed}/{worker}")
    settings = load({**MODEL, "CLASH_HOME": home, **{k: v for k, v in os.environ.items() if k.startswith("CLASH_M")}})
    spender = Spender(settings, open_clash(settings), SettableClock(NOW + worker * 137))
    with spender.clash.read() as connection:
        accounts = connection.execute("SELECT id, clone_id FROM prop_accounts ORDER BY id").fetchall()
    held: list[Prepared] = []
    for number in range(rounds):
        account = rng.choice(accounts)
        ticks = [worker * 1_000_000 + number * 10 + place for place in range(rng.randint(1, 4))]
        with suppress(StorageBusy):
            wanted = wanting(spender.clash, account["id"], account["clone_id"], ticks)
            held += [item for item in budgets.reserve(spender, wanted) if item.allowance]  # type: ignore[arg-type]
        spender.wall.advance(rng.randint(0, 4_000))
        rng.shuffle(held)
        done, held = held[: len(held) // 2], held[len(held) // 2 :]
        with suppress(StorageBusy):
            _settle(spender, done, rng)
    spender.clash.close()


def _settle(spender: Spender, done: Iterable[Prepared], rng: random.Random) -> None:
    """What came back is settled, but for what died with its worker."""
    deadline_ms = int(spender.settings.model_deadline_sec * 1_000)
    in_time = [
        item
        for item in done
        if item.allowance is not None and spender.wall.now_ms() < item.allowance.expires_at + deadline_ms
    ]  # a call is over a deadline after its last start; who books it later still was stopped, and has its own test
    kept = [item for item in in_time if rng.random() < 0.8]
    asked = [answered(item, rng.randint(1, 900), rng.randint(0, 2_000)) for item in kept]
    budgets.settle(spender, asked)  # type: ignore[arg-type]


def main() -> None:
    """Fork the workers, wait for all, exit 1 if one failed."""
    home, workers, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if "unchecked" in sys.argv[5:]:
        Sums.exceeded = lambda *_: None  # type: ignore[assignment,method-assign]
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            try:
                work(home, worker, rounds, seed)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(int(any(statuses)))


if __name__ == "__main__":
    main()

"""Decisions of one's own clones with their reasons, dry runs of drafts, and the artifacts of a run (06 clones)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from clash_pipeline.api import idempotency
from clash_pipeline.api.documenting import creates, refuses, sends
from clash_pipeline.api.graphs import GraphJson, plain
from clash_pipeline.api.parts import Me, Paging, Parts, own_clone, still
from clash_pipeline.api.problems import not_found, unavailable
from clash_pipeline.api.routes.clones import Engine, wire
from clash_pipeline.api.routing import for_user
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.versions import is_unchanged
from clash_pipeline.api.wire import CloneId, Cursor, Decimal, Given, Hash, Id, PageSize, Shown, Time, Usd
from clash_pipeline.archive.stores import StoreError
from clash_pipeline.clones import drafts, validation
from clash_pipeline.decisions import artifacts, decide, dry_run, runs, views
from clash_pipeline.decisions.answer import Answer
from clash_pipeline.decisions.dry_run import DryRun, DryRunRun
from clash_pipeline.decisions.runs import ArtifactRef
from clash_pipeline.decisions.views import RunUnknown
from clash_pipeline.prop import answers
from clash_pipeline.prop.proposal import ActionResult
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import usd_text

router = area("/api/v1/clones/{cloneId}", "decisions")
DRY_RUNS_AT_ONCE = 4
CHUNK_BYTES = 65_536
RunId = Annotated[Id, Path(alias="runId", description="The decision run.")]
RunState = Literal["queued", "running", "completed", "failed", "skipped"]
ArtifactKind = Literal["packet", "prompt", "response"]
KINDS: tuple[ArtifactKind, ...] = ("packet", "prompt", "response")
_pool = ThreadPoolExecutor(DRY_RUNS_AT_ONCE, "dry-run")


class DryRunRequest(Given):
    """Another graph than the stored draft, another engine than the clone's; whether packets and prompts are wanted."""

    graph: GraphJson | None = None
    engine: Engine | None = None
    with_packets: bool = False


class FigureShown(Shown):
    """One of the figures that decided."""

    name: str
    value: str | int | None


class FillShown(Shown):
    """What an order was filled at."""

    leg: int
    side: Literal["buy", "sell"]
    size: Decimal
    price: Decimal
    notional_usd: Usd
    fee_usd: Usd
    realized_usd: Usd
    price_source: str
    price_age_ms: int


class ActionShown(Shown):
    """What became of a proposal: filled, or rejected with the gate's code, and the figures that decided."""

    symbol: str
    action: str
    status: Literal["filled", "rejected"]
    reject_code: str | None
    figures: list[FigureShown]
    fills: list[FillShown]


class AnswerShown(Shown):
    """What the engine answered; a rationale is third-party text and data, never markup."""

    action: str
    size_pct: Decimal
    leverage: int
    stop_loss_pct: Decimal | None
    take_profit_pct: Decimal | None
    confidence: Decimal
    rationale: str


class DecisionShown(Shown):
    """One decision run: which branch, asset and tick, how it ended and why."""

    id: int
    account_id: int
    branch: str
    symbol: str
    tick: Time
    kind: Literal["due", "forced"]
    engine: str
    state: RunState
    reason: str
    effective: str | None
    finished_at: Time | None


class DecisionList(Shown):
    """A page of decision runs, newest first."""

    items: list[DecisionShown]
    next_cursor: str | None


class ArtifactShown(Shown):
    """A stored artifact; its hash is that of what is sent."""

    kind: str
    size_bytes: int
    sha256: Hash


class DecisionWhole(DecisionShown):
    """A run with its answer, what the gates said, and its artifacts; `answer_missing` says why there is no answer."""

    answer: AnswerShown | None
    answer_missing: str | None
    actions: list[ActionShown]
    artifacts: list[ArtifactShown]


class DryRunRunShown(Shown):
    """What would have happened with one asset of one branch."""

    branch: str
    symbol: str
    state: RunState
    reason: str
    effective: str | None
    packet_hash: str | None
    answer: dict[str, Any] | None
    actions: list[ActionShown]
    packet: dict[str, Any] | None
    prompt: dict[str, Any] | None


class DryRunLine(Shown):
    """One effect on the scratch account's balance."""

    kind: str
    symbol: str
    amount_usd: Usd


class DryRunShown(Shown):
    """Everything a draft would have done now, against a scratch account; no account of the clone changed."""

    id: int
    engine: str
    compiled_hash: Hash
    ran_at: Time
    start_balance_usd: Usd
    balance_usd: Usd
    runs: list[DryRunRunShown]
    ledger: list[DryRunLine]


class DryRunSummary(Shown):
    """An earlier dry run."""

    id: int
    engine: str
    compiled_hash: Hash
    ran_at: Time
    start_balance_usd: Usd
    balance_usd: Usd
    runs: int


class DryRunList(Shown):
    """The newest dry runs, newest first."""

    items: list[DryRunSummary]


@router.get("/decisions", summary="List decisions")
@for_user
def list_decisions(
    clone_id: CloneId,
    me: Me,
    parts: Parts,
    paging: Paging,
    symbol: Annotated[str | None, Query(max_length=40, description="Only this asset.")] = None,
    state: RunState | None = None,
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> DecisionList:
    """The decision runs of a clone, newest first, each with its reason."""
    of = f"decisions/{clone_id}"
    before = paging.open(of, cursor)
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        found = views.latest_runs(
            connection, clone_id=clone_id, limit=limit + 1, before=before[0] if before else 2**62, symbol=symbol,
            state=state,
        )  # fmt: skip
    page = paging.page(of, found, limit, lambda run: [run["id"]])
    return DecisionList(items=[DecisionShown(**_run(run)) for run in page.items], next_cursor=page.next_cursor)


@router.get("/decisions/{runId}", summary="One decision")
@for_user
def get_decision(clone_id: CloneId, run_id: RunId, me: Me, parts: Parts) -> DecisionWhole:
    """What was answered, what the gates said with their figures, and what was filled."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        run = _require(connection, clone_id, run_id)
        stored = runs.artifacts_of(connection, run_id)
        results = answers.results_of(connection, run["account_id"], run_id)
    answer, missing = _answer_of(parts, stored.get("response"), run["packet_hash"])
    return DecisionWhole(
        **_run(run),
        answer=answer,
        answer_missing=missing,
        actions=[_action(result) for result in results],
        artifacts=[_artifact(stored[kind]) for kind in KINDS if kind in stored],
    )


@router.get("/decisions/{runId}/artifacts/{kind}", summary="An artifact of a decision", response_class=Response)
@for_user
@sends("application/json")
@refuses(304, 503)
def get_artifact(
    request: Request,
    clone_id: CloneId,
    run_id: RunId,
    kind: Annotated[ArtifactKind, Path(description="packet, prompt or response.")],
    me: Me,
    parts: Parts,
) -> Response:
    """The stored packet, prompt or response, byte for byte, verified against its hash before the first byte is sent."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        _require(connection, clone_id, run_id)
        stored = runs.artifacts_of(connection, run_id).get(kind)
    if stored is None:
        raise not_found("artifact")
    tag = f'"{stored.sha256}"'
    headers = {"etag": tag, "cache-control": "private, max-age=31536000, immutable"}
    if is_unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    body = artifacts.get(parts.store, stored)
    headers["content-length"] = str(len(body))
    headers["content-disposition"] = f'attachment; filename="run-{run_id}-{kind}.json"'
    chunks = (body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES))
    return StreamingResponse(chunks, headers=headers, media_type="application/json")


@router.get("/dry-runs", summary="List dry runs")
@for_user
def list_dry_runs(clone_id: CloneId, me: Me, parts: Parts, limit: PageSize = 20) -> DryRunList:
    """The newest dry runs of a clone."""
    with parts.clash.read() as connection:
        own_clone(connection, me, clone_id)
        found = dry_run.latest(connection, clone_id, limit=limit)
    return DryRunList(items=[_summary(row) for row in found])


@router.post("/dry-runs", status_code=201, summary="Dry-run a draft", response_model=DryRunShown)
@for_user
@creates
@refuses(503)
async def dry_run_draft(request: Request, clone_id: CloneId, given: DryRunRequest, me: Me, parts: Parts) -> Response:
    """Run the draft, or another graph, once through packets, engine and gates; nothing of the clone's accounts changes.

    A model may need longer than an answer may take: then 503 `dry_run_running`, and the same key gets the answer later.
    """

    def work() -> Any:
        at = still(parts)
        with at.clash.read() as connection:
            own_clone(connection, me, clone_id)
            if given.graph is None and drafts.of(connection, clone_id) is None:
                raise not_found("draft")
        graph = None if given.graph is None else validation.parse(plain(given.graph))
        found = dry_run.dry_run(at, clone_id, graph=graph, engine=given.engine)
        return wire(_dry_run(found, with_packets=given.with_packets))

    loop = asyncio.get_running_loop()
    answer = loop.run_in_executor(_pool, lambda: idempotency.once_beside(request, given.model_dump(), work))
    try:
        return await asyncio.wait_for(asyncio.shield(answer), parts.settings.api_answer_sec * 0.8)
    except TimeoutError:
        answer.add_done_callback(lambda done: done.exception())
        raise unavailable("dry_run_running", "It goes on; ask again with the same key.", retry_after_sec=5) from None


def _require(connection: Connection, clone_id: int, run_id: int) -> Row:
    run: Row | None = connection.execute(
        "SELECT * FROM decision_runs WHERE id = ? AND clone_id = ?", (run_id, clone_id)
    ).fetchone()
    if run is None:
        raise RunUnknown("there is no such decision run")
    return run


def _run(run: Any) -> dict[str, Any]:
    return {name: run[name] for name in DecisionShown.model_fields}


def _answer_of(
    parts: Services, response: ArtifactRef | None, packet_hash: str | None
) -> tuple[AnswerShown | None, str | None]:
    if response is None:
        return None, "none"
    try:
        content = artifacts.get(parts.store, response)
        return _answer(decide.decode(content, packet_hash or "").answer), None
    except StoreError:
        return None, "store_unavailable"
    except ValueError:
        return None, "invalid"


def _answer(answer: Answer) -> AnswerShown:
    return AnswerShown(
        action=answer.action,
        size_pct=f"{answer.size_pct:f}",
        leverage=answer.leverage,
        stop_loss_pct=None if answer.stop_loss_pct is None else f"{answer.stop_loss_pct:f}",
        take_profit_pct=None if answer.take_profit_pct is None else f"{answer.take_profit_pct:f}",
        confidence=f"{answer.confidence:f}",
        rationale=answer.rationale,
    )


def _action(result: ActionResult) -> ActionShown:
    return ActionShown(
        symbol=result.symbol,
        action=result.action,
        status=result.status,  # type: ignore[arg-type]  # the table's own check
        reject_code=result.reject_code,
        figures=[FigureShown(name=name, value=value) for name, value in result.figures.items()],
        fills=[
            FillShown(
                leg=fill.leg, side=fill.side, size=fill.size, price=fill.price, notional_usd=fill.notional,  # type: ignore[arg-type]
                fee_usd=fill.fee, realized_usd=fill.realized, price_source=fill.price_source,
                price_age_ms=fill.price_age_ms,
            )
            for fill in result.fills
        ],
    )  # fmt: skip


def _artifact(stored: ArtifactRef) -> ArtifactShown:
    return ArtifactShown(kind=stored.kind, size_bytes=stored.size_bytes, sha256=stored.sha256)


def _dry_run(found: DryRun, *, with_packets: bool) -> DryRunShown:
    lines = [line for group in found.ledger for line in group["lines"]]
    return DryRunShown(
        id=found.id,
        engine=found.engine,
        compiled_hash=found.compiled_hash,
        ran_at=found.ran_at,
        start_balance_usd=found.start_balance,
        balance_usd=found.balance,
        runs=[_dry_run_run(run, with_packets=with_packets) for run in found.runs],
        ledger=[DryRunLine(kind=line["kind"], symbol=line["symbol"], amount_usd=line["amount"]) for line in lines],
    )


def _dry_run_run(run: DryRunRun, *, with_packets: bool) -> DryRunRunShown:
    answered = run.response if isinstance(run.response, dict) else {}
    return DryRunRunShown(
        branch=run.branch,
        symbol=run.symbol,
        state=run.state,  # type: ignore[arg-type]  # the table's own check
        reason=run.reason,
        effective=run.effective,
        packet_hash=run.packet_hash,
        answer=answered.get("answer"),
        actions=[_action(result) for result in run.actions],
        packet=run.packet if with_packets else None,
        prompt=run.prompt if with_packets else None,
    )


def _summary(row: dict[str, Any]) -> DryRunSummary:
    return DryRunSummary(
        id=row["id"],
        engine=row["engine"],
        compiled_hash=row["compiled_hash"],
        ran_at=row["ran_at"],
        start_balance_usd=usd_text(row["start_balance"]),
        balance_usd=usd_text(row["balance"]),
        runs=row["runs"],
    )

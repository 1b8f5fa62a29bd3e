"""A small client of the Dagster web server: launch a backfill or a job, and wait for its end."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx

REPOSITORY = {"repositoryLocationName": "clash", "repositoryName": "__repository__"}
POLL_SEC = 0.5
ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED", "COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED"})
GOOD = frozenset({"SUCCESS", "COMPLETED_SUCCESS", "COMPLETED"})

BACKFILL = """
mutation Backfill($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}
"""
BACKFILL_RUNS = """
query Runs($id: String!) {
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
    __typename
    ... on Runs { results { runId status } }
  }
}
"""
LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RUN_STATUS = "query Status($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"
TIMED = """
query Timed($in: RepositorySelector!) {
  sensors: sensorsOrError(repositorySelector: $in) { ... on Sensors { results { id name } } }
  schedules: schedulesOrError(repositorySelector: $in) { ... on Schedules { results { id name } } }
}
"""
STOP_SENSOR = "mutation Stop($id: String!) { it: stopSensor(id: $id) { __typename } }"
START_SENSOR = "mutation Start($it: SensorSelector!) { it: startSensor(sensorSelector: $it) { __typename } }"
STOP_SCHEDULE = "mutation Stop($id: String!) { it: stopRunningSchedule(id: $id) { __typename } }"
SWITCHED = frozenset({"Sensor", "StopSensorMutationResult", "ScheduleStateResult"})
READY = "{ workspaceOrError { __typename ... on Workspace { locationEntries { loadStatus } } } }"


class DagsterError(RuntimeError):
    """Dagster refused, failed, or did not finish in time; one line."""


class DagsterWeb:
    """The GraphQL door of one web server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=30)
        self._resting: list[tuple[str, str]] = []

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def is_ready(self) -> bool:
        """Whether the server answers and has loaded the code location."""
        try:
            entries = self._ask(READY, {})["workspaceOrError"].get("locationEntries", [])
        except (httpx.HTTPError, DagsterError):
            return False
        return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)

    def backfill(self, assets: Sequence[str], partitions: Sequence[str], title: str) -> str:
        """Launch a backfill of some assets over some partitions; returns its id."""
        keys = [{"path": [asset]} for asset in assets]
        parameters = {"assetSelection": keys, "partitionNames": list(partitions), "title": title}
        answer = self._ask(BACKFILL, {"parameters": parameters})["launchPartitionBackfill"]
        return str(self._given(answer, "backfillId"))

    def materialize(self, assets: Sequence[str], partition: str) -> str:
        """Launch one run that materializes one partition of some assets, with their checks; returns the run id."""
        keys = [{"path": [asset]} for asset in assets]
        return self._launch({"jobName": "__ASSET_JOB", "assetSelection": keys}, {"dagster/partition": partition})

    def launch(self, job: str) -> str:
        """Launch a job with its default configuration; returns the run id."""
        return self._launch({"jobName": job}, {})

    def pause(self, *, keeping: Collection[str]) -> None:
        """Let the sensors and schedules rest that run now, but for those to keep."""
        found = self._ask(TIMED, {"in": REPOSITORY})
        for kind, stop in (("sensors", STOP_SENSOR), ("schedules", STOP_SCHEDULE)):
            for each in self._given(found[kind], "results"):
                if each["name"] not in keeping:
                    self._switch(each["name"], stop, {"id": each["id"]})
                    self._resting.append((kind, each["name"]))

    def resume_sensors(self) -> None:
        """Let the sensors look again that were paused."""
        for kind, name in self._resting:
            if kind == "sensors":
                self._switch(name, START_SENSOR, {"it": {**REPOSITORY, "sensorName": name}})
        self._resting.clear()

    def _switch(self, name: str, mutation: str, variables: Mapping[str, Any]) -> None:
        answer = self._ask(mutation, variables)["it"]["__typename"]
        if answer not in SWITCHED:
            raise DagsterError(f"{name} could not be switched: {answer}")

    def _launch(self, what: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        listed = [{"key": key, "value": value} for key, value in tags.items()]
        parameters = {"selector": {**REPOSITORY, **what}, "executionMetadata": {"tags": listed}}
        answer = self._ask(LAUNCH, {"parameters": parameters})["launchRun"]
        return str(self._given(answer, "run")["runId"])

    def backfill_ended(self, backfill_id: str, runs: int) -> bool:
        """Whether the runs of a backfill have ended well by now; the daemon itself looks only every half minute.

        Raises:
            DagsterError: one of them failed.
        """
        found = self._ask(BACKFILL_RUNS, {"id": backfill_id})["runsOrError"].get("results", [])
        return sum(_ended_well(f"run {run['runId']}", run["status"]) for run in found) >= runs

    def run_ended(self, run_id: str) -> bool:
        """Whether a run has ended well by now; raises as `backfill_ended`."""
        found = self._ask(RUN_STATUS, {"id": run_id})["runOrError"]
        return _ended_well(f"run {run_id}", str(found.get("status", found["__typename"])))

    def wait_for_run(self, run_id: str, within_sec: float) -> None:
        """Wait for the end of a run.

        Raises:
            DagsterError: it failed, or took longer.
        """
        deadline = time.monotonic() + within_sec
        while not self.run_ended(run_id):
            if time.monotonic() > deadline:
                raise DagsterError(f"run {run_id} did not end within {within_sec:g} s")
            time.sleep(POLL_SEC)

    def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        response = self._client.post("/graphql", json={"query": query, "variables": dict(variables)})
        body = response.json()
        if body.get("errors"):
            raise DagsterError(str(body["errors"][0].get("message", "unknown GraphQL error")).splitlines()[0])
        return dict(body["data"])

    def _given(self, answer: Mapping[str, Any], field: str) -> Any:
        if field not in answer:
            detail = answer.get("message") or answer.get("errors") or answer.get("__typename") or f"no {field}"
            raise DagsterError(str(detail).splitlines()[0])
        return answer[field]


def _ended_well(what: str, status: str) -> bool:
    if status in ENDED and status not in GOOD:
        raise DagsterError(f"{what} ended as {status}")
    return status in GOOD

"""Public profiles, their images (A12) and moderation over HTTP."""

import io
import time
from typing import Any

import pytest
from PIL import Image

from clash_pipeline.settings import Settings
from tests.fakes.api_client import problem
from tests.fakes.pictures import chunk, encoded, jpeg_claiming, padded, picture, png_claiming
from tests.fakes.stocked_api import StockedApi

KEY = {"idempotency-key": "profiles-000000001"}
PNG = {"content-type": "image/png"}
IMAGE = "/api/v1/clones/1/profile/image"


@pytest.fixture
def house(stocked: Settings) -> StockedApi:
    """A system in which clone 1 is shown as Ada."""
    return StockedApi(stocked)


@pytest.fixture
def me(house: StockedApi) -> dict[str, str]:
    """The owner of clone 1."""
    return house.bearer()


def decide(house: StockedApi, profile: int, decision: str, reason: str = "seen") -> Any:
    """What a moderator says of a submission."""
    body = {"decision": decision, "reason": reason}
    token = house.service("moderation") if "token" not in house.__dict__ else house.__dict__["token"]
    house.__dict__["token"] = token
    return house.api.client.post(f"/api/v1/moderation/profiles/{profile}/decision", json=body, headers=token)


def test_a_profile_waits_until_it_is_approved(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    body = {"name": "Ada Prime", "description": "Calmer."}
    made = client.put("/api/v1/clones/1/profile", json=body, headers=me).json()
    assert (made["state"], made["hasImage"]) == ("submitted", True)
    assert client.get("/api/v1/profiles/1").json()["name"] == "Ada"
    own = client.get("/api/v1/clones/1/profile", headers=me).json()
    assert (own["shown"]["name"], own["waiting"]["name"]) == ("Ada", "Ada Prime")
    assert decide(house, made["id"], "approve").json()["state"] == "approved"
    shown = client.get("/api/v1/profiles/1").json()
    assert (shown["name"], shown["description"], shown["badges"]["assets"]) == ("Ada Prime", "Calmer.", ["BTC", "ETH"])


def test_a_rejection_needs_a_reason_and_is_final(house: StockedApi, me: dict[str, str]) -> None:
    made = house.api.client.put("/api/v1/clones/1/profile", json={"name": "Ada Two"}, headers=me).json()
    problem(decide(house, made["id"], "reject", ""), 422, "profile_invalid")
    assert decide(house, made["id"], "reject", "misleading").json()["reason"] == "misleading"
    assert decide(house, made["id"], "reject", "again").json()["reason"] == "misleading"
    problem(decide(house, made["id"], "approve"), 409, "state_conflict")
    problem(decide(house, 999, "approve"), 404, "not_found")


def test_a_name_that_is_taken_or_looks_like_it_is_refused(house: StockedApi, me: dict[str, str]) -> None:
    for name in ("Bea", "BEA", "Веа"):
        answer = house.api.client.put("/api/v1/clones/1/profile", json={"name": name}, headers=me)
        assert name not in problem(answer, 409, "name_taken")["detail"]


@pytest.mark.parametrize(("body", "code"), [
    ({"name": "x" * 33}, "profile_invalid"), ({"name": "..."}, "profile_invalid"), ({"name": ""}, "value"),
    ({"name": "a\u202eb"}, "text_not_allowed"), ({"name": "Ada", "description": "x" * 281}, "profile_invalid"),
    ({"name": 1}, "type"), ({}, "missing"),
])  # fmt: skip
def test_names_and_descriptions_have_limits(
    house: StockedApi, me: dict[str, str], body: dict[str, Any], code: str
) -> None:
    problem(house.api.client.put("/api/v1/clones/1/profile", json=body, headers=me), 422, code)


# images (A12)


def test_an_image_is_stored_as_new_pixels_and_shown_once_approved(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    before = client.get("/api/v1/profiles/1/image").headers["etag"]
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    upload = encoded(picture("RGB").rotate(90), "JPEG", exif=exif) + b"PK\x03\x04 also an archive"
    made = client.put(IMAGE, content=upload, headers=me | {"content-type": "image/jpeg"}).json()
    assert client.get("/api/v1/profiles/1/image").headers["etag"] == before
    token = {"x-service-token": next(iter(house.service("moderation").values()))}
    house.__dict__["token"] = token
    seen = client.get(f"/api/v1/moderation/profiles/{made['id']}/image", headers=token)
    decide(house, made["id"], "approve")
    shown = client.get("/api/v1/profiles/1/image")
    assert (shown.content, shown.headers["content-type"]) == (seen.content, "image/jpeg")
    assert b"secret place" not in shown.content
    assert b"archive" not in shown.content
    assert Image.open(io.BytesIO(shown.content)).size == (512, 512)
    assert client.get("/api/v1/profiles/1/image", headers={"if-none-match": shown.headers["etag"]}).status_code == 304


GOOD = encoded(picture(), "PNG")
BAD = {
    "empty": b"", "text": b"hello", "gif": encoded(picture("P"), "GIF"), "svg": b"<svg xmlns='x' onload='alert(1)'/>",
    "gif called png": encoded(picture("P"), "GIF"), "narrow": encoded(picture(size=(511, 512)), "PNG"),
    "wide": encoded(picture(size=(512, 513)), "JPEG"), "bomb": png_claiming(50_000, 50_000),
    "liar": jpeg_claiming(20_000, 20_000), "cut off": GOOD[: len(GOOD) // 2], "no end": GOOD[:-12],
    "too large": padded(GOOD, 1_000_001), "webp": encoded(picture(), "WEBP"), "bmp": encoded(picture(), "BMP"),
    "text chunk for pixels": GOOD[:33] + chunk(b"tEXt", b"a" * 100) + chunk(b"IEND", b""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_image_of_ours_is_refused_at_once(house: StockedApi, me: dict[str, str], name: str) -> None:
    started = time.perf_counter()
    answer = house.api.client.put(IMAGE, content=BAD[name], headers=me | PNG)
    problem(answer, 422, "image_invalid")
    assert time.perf_counter() - started < 2  # 0.2 s on a machine of its own


def test_an_image_over_the_body_limit_is_never_read(house: StockedApi, me: dict[str, str]) -> None:
    problem(house.api.client.put(IMAGE, content=b"x" * 1_100_001, headers=me | PNG), 413, "body_too_large")
    problem(house.api.client.put(IMAGE, content=GOOD, headers=me | {"content-type": "text/plain"}), 415,
            "unsupported_media_type")  # fmt: skip
    clone = house.api.client.post("/api/v1/clones", json={"name": "Bare"}, headers=me | KEY).json()["id"]
    bare = house.api.client.put(f"/api/v1/clones/{clone}/profile/image", content=GOOD, headers=me | PNG)
    problem(bare, 409, "profile_missing")


# reports and retirement


def test_a_report_is_upheld_and_takes_the_profile_down(house: StockedApi) -> None:
    client, moderator = house.api.client, house.service("moderation")
    body = {"category": "impersonation", "text": "That is me."}
    path = "/api/v1/profiles/1/reports"
    made = client.post(path, json=body, headers=house.bearer(house.other) | KEY)
    assert (made.status_code, made.json()["state"]) == (201, "open")
    another = client.post(path, json=body | {"text": "Really."}, headers=house.bearer(house.other) | {
        "idempotency-key": "profiles-000000002"})  # fmt: skip
    problem(another, 409, "state_conflict")
    reports = client.get("/api/v1/moderation/reports", headers=moderator).json()["items"]
    assert [report["reporter"] for report in reports] == ["user:9", "user:2"]
    decided = client.post(
        f"/api/v1/moderation/reports/{made.json()['id']}/decision", json={"decision": "uphold", "reason": "true"},
        headers=moderator,
    )  # fmt: skip
    assert decided.json()["state"] == "upheld"
    problem(client.get("/api/v1/profiles/1"), 404, "not_found")
    acts = client.get("/api/v1/moderation/clones/1", headers=moderator).json()["acts"]
    assert [act["act"] for act in acts][-2:] == ["upheld", "removed"]


def test_a_retired_clone_says_so_and_can_come_back(house: StockedApi) -> None:
    client, moderator = house.api.client, house.service("moderation")

    def change(is_retired: bool, reason: str = "") -> Any:
        body = {"isRetired": is_retired, "reason": reason}
        return client.post("/api/v1/moderation/clones/1/retirement", json=body, headers=moderator)

    problem(change(True), 422, "profile_invalid")
    assert change(True, "no tickets").json() == {"cloneId": 1, "isRetired": True, "hasChanged": True}
    assert change(True, "again").json()["hasChanged"] is False
    assert client.get("/api/v1/profiles/1").json()["isRetired"] is True
    assert client.get("/api/v1/clones/1", headers=house.bearer()).json()["productState"] == "retired"
    assert change(False).json() == {"cloneId": 1, "isRetired": False, "hasChanged": True}


def test_the_leaderboard_shows_public_names_and_nothing_private(house: StockedApi) -> None:
    client = house.api.client
    board = client.get("/api/v1/leaderboard")
    assert [(place["rank"], place["name"], place["equityUsd"]) for place in board.json()["items"]] == [
        (1, "Ada", "99966.0098036")
    ]
    assert "canary" not in board.text
    moderator = house.service("moderation")
    body = {"isRetired": True, "reason": "for a test"}
    client.post("/api/v1/moderation/clones/1/retirement", json=body, headers=moderator)
    assert client.get("/api/v1/leaderboard").json()["items"] == []

"""Polymarket's addresses over HTTP: the right answer, status and page at each."""

import json

import httpx

from clash_pipeline.replay.controls import VenueControls


def test_every_address_answers(served: VenueControls) -> None:
    with httpx.Client(base_url=served.base_url) as client:
        page = client.get("/gamma/events/keyset", params={"closed": "false", "tag_slug": "crypto", "limit": 3}).json()
        assert len(page["events"]) == 3
        assert page["next_cursor"]
        event = page["events"][0]
        market = event["markets"][0]
        token = json.loads(market["clobTokenIds"])[0]
        assert client.get(f"/gamma/events/{event['id']}").json()["slug"] == event["slug"]
        assert client.get(f"/gamma/events/slug/{event['slug']}").json()["id"] == event["id"]
        assert client.get(f"/gamma/markets/{market['id']}").json()["slug"] == market["slug"]
        assert client.get(f"/gamma/markets/slug/{market['slug']}").json()["id"] == market["id"]
        assert len(client.get("/gamma/markets/keyset", params={"closed": "false"}).json()["markets"]) == 20
        assert isinstance(client.get("/gamma/events", params={"limit": 2}).json(), list)
        assert client.get("/gamma/tags/slug/crypto").json()["id"] == "21"
        assert client.get("/gamma/public-search", params={"q": "ethereum"}).json()["events"]
        assert client.get("/clob/book", params={"token_id": token}).json()["asset_id"] == token
        books = client.post("/clob/books", json=[{"token_id": token}, {"token_id": "17"}]).json()
        assert [book["asset_id"] for book in books] == [token]
        history = client.get("/clob/prices-history", params={"market": token, "interval": "1h", "fidelity": 10}).json()
        assert "history" in history
        assert client.get(f"/clob/markets/{market['conditionId']}").json()["market_slug"] == market["slug"]


def test_what_is_wrong_or_missing(served: VenueControls) -> None:
    with httpx.Client(base_url=served.base_url) as client:
        assert client.get("/gamma/events/keyset", params={"offset": 3}).status_code == 422
        assert client.get("/gamma/events/slug/nosuch").status_code == 404
        assert client.get("/clob/book", params={"token_id": "17"}).status_code == 404
        assert client.get("/clob/prices-history", params={"interval": "1y"}).status_code == 422
        assert client.post("/clob/books", content=b"{").status_code == 400

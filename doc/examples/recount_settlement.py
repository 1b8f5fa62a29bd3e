"""Compute a public settlement report again, from its inputs alone: `clash settlement show RACE --json | python THIS`.

Stands alone on purpose: it shares no code with what it checks, and follows 11 ("Settlement, exactly") line by line.
"""

import json
import sys


def recount(inputs):
    """Every amount that the inputs make, in wei; tickets by their number."""
    price = int(inputs["priceWei"])
    order = [starter["cloneId"] for starter in inputs["starters"]]
    creator = {starter["cloneId"]: starter["creator"] for starter in inputs["starters"]}
    started = [ticket for ticket in inputs["tickets"] if ticket["cloneId"] in creator]
    refunds = {ticket["ticketNo"]: price for ticket in inputs["tickets"] if ticket["cloneId"] not in creator}
    pool, k = len(started) * price, len(order)
    places = 0 if k < 4 else 1 if k == 4 else 2 if k <= 7 else 3
    weight = dict(zip(order[:places], (50, 30, 20), strict=False))
    total = sum(weight.get(ticket["cloneId"], 0) for ticket in started)
    if inputs["isCancelled"] or total == 0:
        refunds.update((ticket["ticketNo"], price) for ticket in started)
        return {"pool": pool, "rake": 0, "dust": 0, "payouts": {}, "royalties": {}, "refunds": refunds}
    rake, creators = pool * 500 // 10_000, pool * 500 // 10_000
    share = pool - rake - creators
    won = {
        ticket["ticketNo"]: share * weight[ticket["cloneId"]] // total
        for ticket in started
        if ticket["cloneId"] in weight
    }
    backed = [
        clone
        for clone in weight
        if any(ticket["cloneId"] == clone and ticket["holder"] != creator[clone] for ticket in started)
    ]
    sharing = backed or list(weight)
    royalties = {clone: creators * weight[clone] // sum(weight[each] for each in sharing) for clone in sharing}
    dust = share + creators - sum(won.values()) - sum(royalties.values())
    payouts, royalties = ({key: wei for key, wei in paid.items() if wei} for paid in (won, royalties))
    figures = {"pool": pool, "rake": rake + dust, "dust": dust}
    return figures | {"payouts": payouts, "royalties": royalties, "refunds": refunds}


def stated(report):
    """What a report says, in the same form."""
    figures = {name: int(report[f"{name}Wei"]) for name in ("pool", "rake", "dust")}
    royalties = {row["cloneId"]: int(row["wei"]) for row in report["royalties"]}
    tickets = {kind: {row["ticketNo"]: int(row["wei"]) for row in report[kind]} for kind in ("payouts", "refunds")}
    return figures | tickets | {"royalties": royalties}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    if stated(given) != recount(given["inputs"]):
        sys.exit(f"race {given['raceId']}: the amounts are not what the inputs make")
    print(f"race {given['raceId']}: every amount is what the inputs make")

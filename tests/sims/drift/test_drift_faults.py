"""What can go wrong on a chain, and what a client sees of it."""

from __future__ import annotations

import pytest
from drift_chain import BASE, MARKET, START_MS, Chain, order

from twinleg_sims.drift.funding import next_due
from twinleg_sims.drift.keys import to_base58
from twinleg_sims.drift.positions import perp_position
from twinleg_sims.faults import FaultError, FaultRequest, Faults


def test_a_dropped_transaction_has_a_signature_and_never_a_status() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("tx_dropped")
    lost = client.place(price=chain.price // 2, user_id=1)
    kept = client.place(price=chain.price // 2, user_id=2)
    chain.slots(5)
    statuses = chain.rpc("getSignatureStatuses", [lost, kept])["result"]["value"]
    assert (statuses[0], statuses[1]["err"]) == (None, None)
    assert [each["user_order_id"] for each in client.orders()] == [2]


def test_a_late_transaction_lands_after_all() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("tx_late", value="30")
    client.place(price=chain.price // 2)
    chain.slots(20)
    assert client.orders() == []
    chain.slots(15)
    assert len(client.orders()) == 1


def test_a_transaction_can_land_and_fail_after_a_good_preflight() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("tx_failed", value="6024")
    signature = client.place(price=chain.price // 2)
    chain.slots(2)
    status = chain.rpc("getSignatureStatuses", [signature])["result"]["value"][0]
    assert status["err"] == {"InstructionError": [0, {"Custom": 6024}]}
    assert client.orders() == []


def test_without_blockhashes_nothing_is_taken() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("blockhash_expired")
    reply = client.sent("place_perp_order", order(price=chain.price // 2))
    assert reply["error"]["data"]["err"] == "BlockhashNotFound"
    client.send("place_perp_order", order(price=chain.price // 2), skipPreflight=True)
    chain.slots(3)
    assert client.orders() == []


def test_a_lagging_node_shows_how_things_were_and_says_so() -> None:
    chain = Chain()
    client = chain.open()
    chain.slots(20)
    client.place(price=chain.price // 2)
    chain.slots(3)
    now = chain.rpc("getSlot", {"commitment": "processed"})["result"]
    chain.fault("rpc_lag", value="4000")
    stale = chain.rpc("getAccountInfo", to_base58(client.user_key))["result"]
    assert stale["context"]["slot"] == now - 10
    assert chain.rpc("getHealth")["error"]["data"]["numSlotsBehind"] == 10
    before = chain.core.ledger.at(client.user_key, 10)
    assert before is not None
    assert bytes(before.data) != bytes(client.user.data)
    chain.slots(15)
    caught_up = chain.core.ledger.at(client.user_key, 10)
    assert caught_up is not None
    assert bytes(caught_up.data) == bytes(client.user.data)


def test_keepers_that_sleep_leave_an_order_open() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("keeper_delay", value="60")
    client.place(kind=MARKET)
    chain.slots(50)
    assert (client.held(), len(client.orders())) == (0, 1)
    chain.until(lambda: client.held() > 0)


def test_small_fills_come_one_after_another() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("small_fills", value="50")
    client.place(kind=MARKET, base=BASE)
    chain.until(lambda: client.held() > 0)
    assert 0 < client.held() < BASE
    (left,) = client.orders()
    assert left["base_asset_amount_filled"] == client.held()
    chain.until(lambda: client.held() == BASE)


@pytest.mark.parametrize("kind", ["amm_off", "stale_oracle"])
def test_without_the_amm_an_order_ends_unfilled(kind: str) -> None:
    chain = Chain()
    client = chain.open()
    chain.fault(kind, market="SOL-PERP")
    chain.slots(20)
    client.place(kind=MARKET)
    chain.slots(2)
    assert len(client.orders()) == 1
    chain.until(lambda: not client.orders())
    position = perp_position(client.user, 0)
    assert position is not None
    assert (client.held(), position["quote_asset_amount"]) == (0, -10_000), "a keeper cleared it for a cent"


def test_a_disabled_program_answers_101_to_everything() -> None:
    chain = Chain()
    client = chain.open()
    chain.fault("program_disabled")
    reply = client.sent("cancel_orders", b"\0\0\0")
    assert reply["error"]["data"]["err"] == {"InstructionError": [0, {"Custom": 101}]}


def test_a_late_funding_update_skips_the_next_hour() -> None:
    hour = START_MS // 1000 // 3600 * 3600
    assert next_due(hour) == hour + 3600
    assert next_due(hour + 1200) == hour + 3600
    assert next_due(hour + 1201) == hour + 7200


def test_a_skipped_hour_is_made_up_for_when_the_crank_is_back() -> None:
    chain = Chain()
    start = chain.market()["last_funding_rate_ts"]
    fault = chain.fault("funding_skipped", for_s=120)
    chain.sleep(100)
    assert chain.market()["last_funding_rate_ts"] == start
    assert fault.acted
    chain.sleep(30)
    assert chain.market()["last_funding_rate_ts"] > start


def test_other_venues_know_nothing_of_these() -> None:
    faults = Faults()
    with pytest.raises(FaultError, match="unknown fault"):
        faults.add(FaultRequest(kind="tx_dropped", venue="lighter"), START_MS)
    with pytest.raises(FaultError, match="unknown fault"):
        faults.add(FaultRequest(kind="nothing", venue="drift"), START_MS)

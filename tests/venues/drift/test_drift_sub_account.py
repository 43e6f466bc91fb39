"""One sub-account's orders out, and the truth about it in, by what a node answers."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import msgspec
import pytest

from twinleg.core.orders import Leg, Purpose, client_id, trade_id
from twinleg.core.trading import (
    AccountEvent,
    AccountRead,
    AccountSnapshot,
    BalanceSeen,
    ExecutionSeen,
    FundingPaid,
    OrderSeen,
    SendVerdict,
    Signed,
)
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts, reads
from twinleg.venues.drift.chain import instructions, layout
from twinleg.venues.drift.chain.calls import Calls, Held, Maker
from twinleg.venues.drift.chain.history import History
from twinleg.venues.drift.chain.keys import address, base58
from twinleg.venues.drift.chain.layout import discriminator
from twinleg.venues.drift.chain.message import budget_in
from twinleg.venues.drift.orders import NewOrder
from twinleg.venues.drift.sign import Budget, Wallet, budget_for, name_in
from twinleg.venues.drift.trading import DriftTrading, Terms
from twinleg.venues.drift.venue import rpc_stream_address
from venues.battery import GARBAGE, START_MS
from venues.drift.case import of_account, of_accounts, result
from venues.drift.test_drift_account import GOLDEN, MARKET, OURS, STEPS
from venues.drift.test_drift_sign import KEYPAIR
from venues.trading_battery import an_intent, lane_of

OWNER = address(GOLDEN["authority"])
ACCOUNTS = {key: base64.b64decode(text) for key, text in GOLDEN["initial_accounts_b64"].items()}
PERP = next(data for data in ACCOUNTS.values() if data[:8] == layout.PERP_MARKET)
SPOT = next(data for data in ACCOUNTS.values() if data[:8] == layout.SPOT_MARKET)
READ_PERP, READ_SPOT = layout.read_perp_market(layout.VELOCITY, PERP), layout.read_spot_market(layout.VELOCITY, SPOT)
SOL = msgspec.structs.replace(
    MARKET,
    settlement=reads.Addresses(READ_PERP.pubkey, READ_PERP.oracle, READ_SPOT.pubkey, READ_SPOT.oracle).text,
)
KEY = base58(KEYPAIR)
BLOCKHASH = result(
    1, {"context": {"slot": 500}, "value": {"blockhash": base58(bytes([7]) * 32), "lastValidBlockHeight": 9}}
)


def a_venue(profile: facts.Profile = facts.VELOCITY, terms: Terms | None = None) -> DriftTrading:
    return DriftTrading("http://127.0.0.1:1/", Wallet(KEY, profile, 0, OWNER), {SOL.key: SOL}, profile, terms)


@pytest.fixture
def venue() -> DriftTrading:
    venue = a_venue()
    tell(venue.blockhash(START_MS))
    return venue


def tell(read: AccountRead, *values: Any, at_ms: int = START_MS) -> list[AccountEvent]:
    """The answer to a batch that asks for a blockhash first."""
    asked = json.loads(read.request.body or b"")
    assert [one["id"] for one in asked] == list(range(1, len(values) + 2))
    return read.parse(
        json.dumps([BLOCKHASH, *(result(i, one) for i, one in enumerate(values, start=2))]).encode(), at_ms
    )


def of_user(label: str, slot: int = 438_024_299) -> dict[str, Any]:
    return {"context": {"slot": slot}, "value": {"data": [STEPS[label]["user_after_b64"], "base64"], "owner": "x"}}


def wire_of(signed: Signed) -> bytes:
    asked = json.loads(signed.request.body or b"")
    assert (asked["method"], asked["params"][1]["encoding"]) == ("sendTransaction", "base64")
    return base64.b64decode(asked["params"][0])


class TestSigning:
    def test_an_order_is_a_transaction_of_its_own(self, venue: DriftTrading) -> None:
        signed = venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)
        wire = wire_of(signed)
        assert (signed.client_id, signed.correlation) == (OURS, base58(wire[1:65]))
        assert bytes([7]) * 32 in wire
        assert instructions.PLACE_PERP in wire
        told = [key for key, _, _ in STEPS["post-only bid 1% below oracle"]["accounts"] if key != GOLDEN["authority"]]
        assert all(address(key) in wire for key in told), "all accounts that the real program was given"
        assert not signed.request.reduces_risk
        assert START_MS < signed.void_after_ms <= START_MS + 5_000 + venue.trading.expiry_ms_max
        assert venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS) == signed
        repair = venue.sign(an_intent(SOL, purpose=Purpose.REPAIR), SOL, lane_of(venue), START_MS)
        assert repair.request.reduces_risk

    def test_the_chain_remembers_whose_order_it_was(self, venue: DriftTrading) -> None:
        price = Terms().priority_micro_lamports
        plain = (Budget(facts.COMPUTE_UNITS, price), Budget(facts.COMPUTE_UNITS_TAKING, price))
        signer = KEYPAIR[32:]
        for number, leg, attempt in [(0, Leg.LONG, 0), (7, Leg.SHORT, 31), (2**24 - 1, Leg.SHORT, 31)]:
            name = client_id(trade_id(number), leg, attempt)
            intent = an_intent(SOL, client_id=name, leg=leg, attempt=attempt)
            wire = wire_of(venue.sign(intent, SOL, lane_of(venue), START_MS))
            assert name_in(wire, signer, plain) == name
            assert name_in(wire, bytes(32), plain) is None
            told = budget_in(wire)
            assert told is not None
            assert told[1] * told[2] < 8 * 10**9, "millionths of a lamport"
        other = wire_of(venue.sign_cancel_all(SOL, lane_of(venue), START_MS))
        assert name_in(other, signer, plain) is None
        for cut in range(len(other)):
            assert name_in(other[:cut], signer, plain) is None
        assert budget_for("mine", 5, 6) == Budget(5, 6)

    def test_without_a_fresh_blockhash_nothing_is_signed(self, venue: DriftTrading) -> None:
        late_ms = START_MS + facts.BLOCKHASH_MS_MAX + 1
        with pytest.raises(ValueError, match="no fresh blockhash"):
            venue.sign(an_intent(SOL, deadline_ms=late_ms + 5_000), SOL, lane_of(venue), late_ms)
        with pytest.raises(ValueError, match="no fresh blockhash"):
            a_venue().sign(an_intent(SOL), SOL, lane_of(venue), START_MS)

    def test_a_frozen_program_is_read_and_not_traded_on(self) -> None:
        frozen = a_venue(facts.DRIFT_V2)
        tell(frozen.blockhash(START_MS))
        with pytest.raises(ValueError, match=r"TWINLEG_DRIFT_PROFILE=velocity.*TWINLEG_DRIFT_ALLOW_FROZEN=true"):
            frozen.sign(an_intent(SOL), SOL, lane_of(frozen), START_MS)
        for terms in (Terms(cluster="devnet"), Terms(allow_frozen=True)):
            other = a_venue(facts.DRIFT_V2, terms)
            tell(other.blockhash(START_MS))
            assert other.sign(an_intent(SOL), SOL, lane_of(other), START_MS)

    def test_what_is_open_and_held_is_named(self, venue: DriftTrading) -> None:
        byte = wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS))
        tell(venue.positions(START_MS), of_user("keeper fill at +5 slots"))
        assert wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)) == byte, "the same market, once"
        user = layout.read_user(layout.VELOCITY, base64.b64decode(STEPS["cancel all"]["user_after_b64"]))
        extra = user.spot_positions[0]._replace(market_index=1)
        both = user._replace(spot_positions=(user.spot_positions[0], extra, *user.spot_positions[2:]))
        data = layout.write_user(layout.VELOCITY, both)
        tell(venue.positions(START_MS), {"context": {"slot": 438_024_400}, "value": of_account(data)})
        with pytest.raises(ValueError, match=r"spot markets \[1\]"):
            venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)
        second = bytearray(SPOT)
        second[700:702], second[40:72] = b"\1\0", bytes([9]) * 32
        told = of_accounts(data, SPOT, bytes(second)) | {"context": {"slot": 438_024_400}}
        tell(venue.balance(START_MS), told)
        wire = wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS))
        assert bytes([9]) * 32 in wire
        assert wire != byte
        strange = user.perp_positions[0]._replace(market_index=9, base_asset_amount=1)
        data = layout.write_user(layout.VELOCITY, user._replace(perp_positions=(strange, *user.perp_positions[1:])))
        tell(venue.open_orders(START_MS), {"context": {"slot": 438_024_401}, "value": of_account(data)})
        with pytest.raises(ValueError, match="not listed"):
            venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)

    def test_a_cancel_names_what_is_known(self, venue: DriftTrading) -> None:
        with pytest.raises(ValueError, match="not known"):
            venue.sign_cancel(OURS, None, SOL, lane_of(venue), START_MS)
        venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)
        by_label = wire_of(venue.sign_nothing(OURS, SOL, lane_of(venue), START_MS))
        assert instructions.CANCEL_BY_USER_ID in by_label
        by_id = wire_of(venue.sign_cancel("", "12", SOL, lane_of(venue), START_MS))
        assert instructions.cancel(12) in by_id
        everywhere = venue.sign_cancel_all(None, lane_of(venue), START_MS)
        assert instructions.cancel_orders() in wire_of(everywhere)
        assert instructions.cancel_orders(1, 0) in wire_of(venue.sign_cancel_all(SOL, lane_of(venue), START_MS))
        assert everywhere.request.reduces_risk

    def test_orders_in_human_units_are_signed_too(self, venue: DriftTrading) -> None:
        order = NewOrder(market_index=0, direction="long", order_type="limit", base_amount=0.29, price=76.5)
        placed = venue.sign_order("mine", order, SOL, lane_of(venue), START_MS)
        assert (290_000_000).to_bytes(8, "little") in wire_of(placed)
        taking = msgspec.structs.replace(order, immediate_or_cancel=True)
        makers = [Maker(bytes([5]) * 32, bytes([6]) * 32)]
        taken = wire_of(venue.sign_take("mine2", taking, SOL, makers, lane_of(venue), START_MS))
        assert instructions.PLACE_AND_TAKE in taken
        assert bytes([5]) * 32 in taken

    def test_an_order_is_for_the_market_whose_steps_it_has(self, venue: DriftTrading) -> None:
        order = NewOrder(market_index=0, direction="long", order_type="limit", base_amount="0.1", price="76.5")
        for wrong in ({"market_index": 1}, {"market_type": "spot"}):
            other = msgspec.structs.replace(order, **wrong)
            with pytest.raises(ValueError, match="with the facts of"):
                venue.sign_order("mine", other, SOL, lane_of(venue), START_MS)

    def test_one_order_takes_the_place_of_all(self, venue: DriftTrading) -> None:
        order = NewOrder(market_index=0, direction="long", order_type="limit", base_amount="0.1", price="76.5")
        signed = venue.sign_cancel_and_place(OURS, order, SOL, lane_of(venue), START_MS)
        wire = wire_of(signed)
        assert wire.index(instructions.cancel_orders(1, 0)) < wire.index(instructions.PLACE_PERP)
        assert venue._names.of_signature(signed.correlation) == OURS

    def test_a_changed_order_is_followed_under_its_label(self, venue: DriftTrading) -> None:
        with pytest.raises(ValueError, match="not known to be open"):
            venue.sign_modify(OURS, SOL, 5, 5, lane_of(venue), START_MS)
        order = NewOrder(market_index=0, direction="long", order_type="limit", base_amount="0.1", price="75.577",
                         user_order_id=7)  # fmt: skip
        venue.sign_order(OURS, order, SOL, lane_of(venue), START_MS)
        tell(venue.open_orders(START_MS), of_user("post-only bid 1% below oracle"))
        signed = venue.sign_modify(OURS, SOL, 5, 75_000, lane_of(venue), START_MS)
        change = instructions.ModifyParams(base_asset_amount=5 * 10**7, price=75_000_000)
        assert instructions.modify(1, change, facts.VELOCITY.dialect) in wire_of(signed)
        user = layout.read_user(
            layout.VELOCITY, base64.b64decode(STEPS["post-only bid 1% below oracle"]["user_after_b64"])
        )
        for order_id in (2, 1):
            moved = user._replace(orders=(user.orders[0]._replace(order_id=order_id), *user.orders[1:]))
            data = layout.write_user(layout.VELOCITY, moved)
            (snapshot,) = tell(venue.open_orders(START_MS), {"context": {"slot": 9 * 10**8}, "value": of_account(data)})
            assert isinstance(snapshot, AccountSnapshot)
            (row,) = snapshot.rows
            assert isinstance(row, OrderSeen)
            assert (row.client_id, row.venue_order_id) == (OURS, str(order_id))

    def test_what_the_venue_does_not_have_is_refused(self, venue: DriftTrading) -> None:
        for deed in (
            lambda: venue.sign_leverage(SOL, 3.0, lane_of(venue), START_MS),
            lambda: venue.sign_dead_man_switch(None, lane_of(venue), START_MS),
        ):
            with pytest.raises(ValueError, match="Drift has no"):
                deed()
        assert venue.next_number("wallet", START_MS) is None
        assert venue.transaction("sig", START_MS) is None
        assert venue.fees(START_MS) is None

    def test_lookup_tables_make_it_smaller(self) -> None:
        venue = a_venue(facts.DRIFT_V2, Terms(cluster="devnet"))
        tell(venue.blockhash(START_MS))
        before = len(wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)))
        read = venue.tables(START_MS)
        assert read is not None
        tell(read, of_accounts(b"\1\0\0\0" + bytes(52) + READ_PERP.pubkey + READ_SPOT.pubkey + READ_PERP.oracle))
        assert len(wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS))) < before - 50
        assert a_venue().tables(START_MS) is None

    def test_no_repr_shows_the_key(self, venue: DriftTrading) -> None:
        signed = venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)
        for shown in (venue, vars(venue), signed, venue.account_feeds([])):
            assert KEY not in repr(shown)
            assert KEYPAIR[:32].hex() not in repr(shown)

    def test_the_program_is_tried_before_it_is_traded_on(self) -> None:
        request, read = a_venue(facts.DRIFT_V2).self_test(START_MS)
        (asked,) = json.loads(request.body or b"")
        assert asked["method"] == "simulateTransaction"
        assert asked["params"][1]["replaceRecentBlockhash"] is True
        assert instructions.CANCEL_ORDERS in base64.b64decode(asked["params"][0])
        value = {"err": {"InstructionError": [2, {"Custom": 101}]}, "logs": []}
        told = read(json.dumps([result(1, {"context": {"slot": 5}, "value": value})]).encode())
        assert told is not None
        assert "disabled" in told


class TestReads:
    def test_a_reply_is_read_for_its_signature(self, venue: DriftTrading) -> None:
        signed = venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)
        body = json.dumps(result(1, signed.correlation)).encode()
        assert venue.read_reply(signed, 200, body).verdict is SendVerdict.ACCEPTED
        assert venue.read_reply(signed, 200, body.replace(b'"result"', b'"resul"')).verdict is SendVerdict.UNKNOWN

    def test_orders_and_positions_are_whole_listings(self, venue: DriftTrading) -> None:
        (orders,) = tell(venue.open_orders(START_MS), of_user("post-only bid 1% below oracle"))
        (held,) = tell(venue.positions(START_MS), of_user("keeper fill at +5 slots"))
        assert isinstance(orders, AccountSnapshot)
        assert isinstance(held, AccountSnapshot)
        assert [row.venue_order_id for row in orders.rows if isinstance(row, OrderSeen)] == ["1"]
        assert (orders.kind, held.kind, len(held.rows)) == ("orders", "positions", 1)

    def test_the_balance_is_asked_for_with_what_is_held(self, venue: DriftTrading) -> None:
        user = base64.b64decode(STEPS["keeper fill at +5 slots"]["user_after_b64"])
        with pytest.raises(WireError, match="not asked for"):
            tell(venue.balance(START_MS), of_accounts(user, SPOT))
        (snapshot,) = tell(venue.balance(START_MS), of_accounts(user, SPOT, PERP))
        assert isinstance(snapshot, AccountSnapshot)
        (row,) = snapshot.rows
        assert isinstance(row, BalanceSeen)
        assert 9_900 < row.available_usd < row.equity_usd < 10_000
        with pytest.raises(WireError):
            tell(venue.balance(START_MS), of_accounts(user, None, PERP))

    def test_no_error_is_read_as_nothing(self, venue: DriftTrading) -> None:
        everything = [venue.open_orders(START_MS), venue.positions(START_MS), venue.balance(START_MS)]
        everything += [venue.fills(START_MS, START_MS), venue.blockhash(START_MS), *venue.order(OURS, SOL, START_MS)]
        missing = json.dumps([BLOCKHASH, result(2, {"context": {"slot": 5}, "value": None})]).encode()
        for read in everything:
            for body in [*GARBAGE, b"[]", b'[{"jsonrpc":"2.0","error":{"code":-32005,"message":"x"},"id":1}]']:
                with pytest.raises(WireError):
                    read.parse(body, START_MS)
        with pytest.raises(WireError, match="does not exist"):
            venue.positions(START_MS).parse(missing, START_MS)

    def test_a_node_that_is_behind_is_no_answer(self, venue: DriftTrading) -> None:
        tell(venue.positions(START_MS), of_user("keeper fill at +5 slots", 900))
        tell(venue.positions(START_MS), of_user("keeper fill at +5 slots", 900))
        for read in (venue.positions(START_MS), venue.open_orders(START_MS)):
            with pytest.raises(WireError, match="behind"):
                tell(read, of_user("cancel all", 899))

    def test_an_older_blockhash_does_not_replace_a_newer_one(self, venue: DriftTrading) -> None:
        old = result(1, {"context": {"slot": 4}, "value": {"blockhash": base58(bytes([9]) * 32)}})
        venue.blockhash(START_MS).parse(json.dumps([old]).encode(), START_MS)
        assert bytes([7]) * 32 in wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS))


def page(read: AccountRead, value: list[Any], at_ms: int = START_MS) -> tuple[list[AccountEvent], AccountRead | None]:
    """A page's events and the next one."""
    asked = json.loads(read.request.body or b"")
    values = [value] if asked[0]["method"] == "getSignaturesForAddress" else value
    assert len(asked) == len(values)
    body = json.dumps([result(i, one) for i, one in enumerate(values, start=1)]).encode()
    assert read.more is not None
    return read.parse(body, at_ms), read.more(body)


def a_row(signature: str, at_s: int, err: Any = None) -> dict[str, Any]:
    return {"signature": signature, "slot": 5, "blockTime": at_s, "err": err, "memo": None}


def a_transaction(label: str, wire: bytes = b"\0") -> dict[str, Any]:
    meta = {"logMessages": STEPS[label]["logs"], "err": None, "fee": 5_000}
    return {"slot": 5, "transaction": [base64.b64encode(wire).decode(), "base64"], "meta": meta, "blockTime": 5}


FILLED_S = 1_786_205_428
NOW_MS = FILLED_S * 1_000 + 500


class TestPast:
    def test_fills_are_found_through_what_named_the_account(self, venue: DriftTrading) -> None:
        assert isinstance(venue._history, History)
        read = venue.fills(NOW_MS - 60_000, NOW_MS)
        rows = [
            a_row("fill", FILLED_S),
            a_row("bad", FILLED_S, {"x": 1}),
            a_row("place", FILLED_S - 2),
            a_row("old", 5),
        ]
        events, following = page(read, rows, NOW_MS)
        assert events == []
        assert following is not None
        told = [a_transaction("keeper fill at +5 slots"), a_transaction("market long for keeper")]
        (snapshot,), end = page(following, told, NOW_MS)
        assert end is None
        assert isinstance(snapshot, AccountSnapshot)
        assert (snapshot.kind, snapshot.since_ms) == ("fills", NOW_MS - 60_000)
        (fill,) = snapshot.rows
        assert isinstance(fill, ExecutionSeen)
        assert (fill.fill_id, fill.client_id, fill.size_lots) == ("0/745", None, 10)

    def test_a_quiet_past_is_an_empty_listing(self, venue: DriftTrading) -> None:
        for rows in ([], [a_row("old", 5)]):
            (snapshot,), end = page(venue.fills(START_MS - 60_000, START_MS), rows)
            assert isinstance(snapshot, AccountSnapshot)
            assert (snapshot.rows, end) == ((), None)

    def test_a_long_past_goes_on(self, venue: DriftTrading) -> None:
        rows = [a_row(f"s{number}", FILLED_S, {"x": 1}) for number in range(facts.SIGNATURES_PER_READ)]
        events, following = page(venue.fills(NOW_MS - 60_000, NOW_MS), rows, NOW_MS)
        assert events == []
        assert following is not None
        (asked,) = json.loads(following.request.body or b"")
        assert asked["params"][1]["before"] == f"s{facts.SIGNATURES_PER_READ - 1}"

    def test_a_name_is_read_from_the_chain_after_a_restart(self, venue: DriftTrading) -> None:
        wire = wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS))
        fresh = a_venue()
        (_, past) = fresh.order(OURS, SOL, NOW_MS)
        _, following = page(past, [a_row("fill", FILLED_S), a_row("place", FILLED_S - 2)], NOW_MS)
        assert following is not None
        told = [a_transaction("keeper fill at +5 slots"), a_transaction("market long for keeper", wire)]
        events, _ = page(following, told, NOW_MS)
        assert {type(one) for one in events} == {ExecutionSeen, OrderSeen}
        assert {one.client_id for one in events if isinstance(one, ExecutionSeen | OrderSeen)} == {OURS}
        (end,) = [one for one in events if isinstance(one, OrderSeen)]
        assert (end.resting, end.filled_lots, end.size_lots) == (False, 10, 10)

    def test_nothing_is_read_before_an_orders_first(self, venue: DriftTrading) -> None:
        wire = wire_of(venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS))
        (_, past) = a_venue().order(OURS, SOL, NOW_MS)
        older = [a_row(f"older{number}", FILLED_S - 3) for number in range(facts.SIGNATURES_PER_READ - 1)]
        _, following = page(past, [a_row("place", FILLED_S - 2), *older], NOW_MS)
        assert following is not None
        told = [a_transaction("market long for keeper", wire)]
        told += [a_transaction("max_ts in the past")] * (facts.TRANSACTIONS_PER_READ - 1)
        _, end = page(following, told, NOW_MS)
        assert end is None
        _, end = page(following, [told[1]] * facts.TRANSACTIONS_PER_READ, NOW_MS)
        assert end is not None

    def test_a_transaction_that_came_to_nothing_is_the_orders_end(self, venue: DriftTrading) -> None:
        signed = venue.sign(an_intent(SOL), SOL, lane_of(venue), START_MS)
        (_, past) = venue.order(OURS, SOL, START_MS)
        (failed,), _ = page(past, [a_row(signed.correlation, START_MS // 1_000, {"InstructionError": [2, 3]})])
        assert isinstance(failed, OrderSeen)
        assert (failed.client_id, failed.resting, failed.filled_lots, failed.size_lots) == (OURS, False, 0, 7)
        _, following = page(past, [a_row(signed.correlation, START_MS // 1_000)])
        assert following is not None
        (skipped,), _ = page(following, [a_transaction("max_ts in the past")])
        assert isinstance(skipped, OrderSeen)
        assert "placed nothing" in skipped.reason
        nothing, _ = page(past, [a_row("another", START_MS // 1_000, {"x": 1})])
        assert nothing == [], "absence alone proves nothing"

    def test_what_is_not_shown_or_not_readable_is_no_answer(self, venue: DriftTrading) -> None:
        _, following = page(venue.fills(NOW_MS - 60_000, NOW_MS), [a_row("fill", FILLED_S)], NOW_MS)
        assert following is not None
        whole = a_transaction("keeper fill at +5 slots")
        cut = whole | {"meta": whole["meta"] | {"logMessages": [*whole["meta"]["logMessages"], "Log truncated"]}}
        for wrong in (None, {}, whole | {"meta": {}}, cut):
            with pytest.raises(WireError):
                page(following, [wrong], NOW_MS)

    def test_a_callers_order_is_shown_as_the_caller_named_it(self, venue: DriftTrading) -> None:
        order = NewOrder(market_index=0, direction="long", order_type="limit", base_amount="0.1", price="75.577",
                         user_order_id=7)  # fmt: skip
        venue.sign_order("mine", order, SOL, lane_of(venue), START_MS)
        (now, past) = venue.order("mine", SOL, START_MS)
        (resting,) = tell(now, of_user("post-only bid 1% below oracle"))
        assert isinstance(resting, OrderSeen)
        assert (resting.client_id, resting.name) == (None, "mine")
        _, following = page(past, [a_row("cancel", START_MS // 1_000)])
        assert following is not None
        (over,), _ = page(following, [a_transaction("cancel order_id 1")])
        assert isinstance(over, OrderSeen)
        assert (over.client_id, over.name, over.resting) == (None, "mine", False)

    def test_funding_is_found_in_the_past(self, venue: DriftTrading) -> None:
        paid = struct.pack("<q32s32sHqqq", FILLED_S, OWNER, venue._wallet.user, 0, -1_234, 5, 6) + bytes(32)
        text = base64.b64encode(discriminator("event", "FundingPaymentRecord") + paid).decode()
        _, following = page(venue.funding_paid(NOW_MS), [a_row("funding", FILLED_S)], NOW_MS)
        assert following is not None
        whole = a_transaction("keeper fill at +5 slots")
        logs = [*whole["meta"]["logMessages"][:3], f"Program data: {text}"]
        events, _ = page(following, [whole | {"meta": {"logMessages": logs}}], NOW_MS)
        assert [(one.market, one.amount_micro_usd) for one in events if isinstance(one, FundingPaid)] == [
            (SOL.key, -1_234)
        ]

    def test_an_order_that_rests_is_found_in_the_account(self, venue: DriftTrading) -> None:
        venue._names.placed(OURS, 1)
        (now, _) = venue.order(OURS, SOL, START_MS)
        (resting,) = tell(now, of_user("post-only bid 1% below oracle"))
        assert isinstance(resting, OrderSeen)
        assert (resting.client_id, resting.resting) == (OURS, True)
        assert tell(now, of_user("cancel all")) == []


def test_calls_name_their_accounts_as_the_program_wants_them() -> None:
    """The accounts and rights of the recorded instructions, those that judge margin in any order."""
    wallet = Wallet(KEY, facts.VELOCITY, 0, OWNER)
    state = reads.state_address(facts.VELOCITY)
    calls = Calls(facts.VELOCITY.program_id, state, facts.VELOCITY.dialect, wallet.user, wallet.user_stats, OWNER)
    where = reads.Addresses.of(SOL)
    held = Held((where.oracle, where.spot_oracle), (where.spot_market,), (where.perp_market,))
    order = instructions.OrderParams(1, 1, 0, 0, 10**8, 77_104_162, 0, bit_flags=instructions.IMMEDIATE_OR_CANCEL)
    for label, call in [
        ("cancel order_id 1", calls.cancel(1, held)),
        ("cancel_order_by_user_id", calls.cancel_by_user_id(7, held)),
        ("cancel all", calls.cancel_all(None, None, held)),
        ("post-only bid 1% below oracle", calls.place(order._replace(bit_flags=0), held)),
        ("place_and_take IOC buy 0.1 @ +1%", calls.place_and_take(order, held, [])),
    ]:
        told = [(base58(meta.key), meta.signer, meta.writable) for meta in call.accounts]
        wanted = [tuple(row) for row in STEPS[label]["accounts"]]
        assert sorted(told) == sorted(wanted), label
        assert told[:3] == wanted[:3], label
    taking = calls.place_and_take(order, held, [])
    assert taking.data == base64.b64decode(STEPS["place_and_take IOC buy 0.1 @ +1%"]["ix_data_b64"])
    both = calls.cancel_and_place(0, 1, order, held)
    assert [one.data[:8] for one in both] == [instructions.CANCEL_ORDERS, instructions.PLACE_PERP]
    moved = calls.deposit(0, 5, bytes(32), held), calls.withdraw(0, 5, bytes(32), held), calls.settle_pnl(0, held)
    assert [one.data[:8] for one in moved] == [instructions.DEPOSIT, instructions.WITHDRAW, instructions.SETTLE_PNL]
    assert calls.settle_funding(held).data == instructions.SETTLE_FUNDING
    spot = order._replace(market_type=0, bit_flags=0)
    assert calls.place(spot, held).data[:8] == instructions.PLACE_SPOT
    assert calls.place_several([order, order], held).data[:8] == instructions.PLACE_ORDERS
    change = instructions.ModifyParams(price=5)
    assert calls.modify(3, change, held).data[:8] == instructions.MODIFY
    assert calls.cancel_by_ids([1, 2], held).data == instructions.cancel_by_ids([1, 2])


@pytest.mark.parametrize(
    ("rpc", "stream"),
    [
        ("https://rpc.example/key", "wss://rpc.example/key"),
        ("http://127.0.0.1:8899", "ws://127.0.0.1:8900"),
        ("http://127.0.0.1:8899/", "ws://127.0.0.1:8900/"),
    ],
)
def test_a_nodes_stream_is_one_port_on(rpc: str, stream: str) -> None:
    assert rpc_stream_address(rpc) == stream

"""ExtendedTrading's reads and state, beyond the battery."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import msgspec
import pytest

from twinleg.core.orders import TimeInForce
from twinleg.core.trading import (
    AccountRead,
    AccountSnapshot,
    ExecutionSeen,
    FeesSeen,
    FundingPaid,
    Incident,
    Lane,
    LeverageSeen,
    SendVerdict,
)
from twinleg.core.venue import Credential, Request, WireError
from twinleg.venues.extended import facts
from twinleg.venues.extended.sign import TESTNET, Keys
from twinleg.venues.extended.trading import ExtendedTrading, ask_vault
from twinleg.venues.extended.venue import account_url
from venues.battery import START_MS
from venues.extended.trading_case import (
    API_KEY,
    BTC,
    KEYS,
    MARKETS,
    PRIVATE_KEY,
    TRADING_CASE,
    fill_row,
    ok,
    order_row,
    sample,
    trading,
)
from venues.trading_battery import OURS, a_fill, an_intent, an_order

NOW = START_MS
LANE = Lane("stark", None)


@pytest.mark.parametrize("rate", ["0.02", "-0.02", "x", "NaN", "1e400", ""])
def test_impossible_fees_are_refused_and_change_nothing(rate: str) -> None:
    venue = trading()
    body = ok([sample("fee"), sample("fee", market="ETH-USD", takerFeeRate=rate)])
    with pytest.raises(WireError):
        venue.fees(NOW).parse(body, NOW)
    signed = venue.sign(an_intent(BTC), BTC, LANE, NOW)
    assert json.loads(signed.request.body or b"")["fee"] == "0.00025"


def test_fees_are_told_in_basis_points() -> None:
    body = ok([sample("fee", makerFeeRate="-0.00002", takerFeeRate="0.000225")])
    assert trading().fees(NOW).parse(body, NOW) == [FeesSeen("extended", BTC.key, -0.2, 2.25, NOW)]


def test_no_fees_are_not_no_fee() -> None:
    with pytest.raises(WireError, match="no market"):
        trading().fees(NOW).parse(ok([]), NOW)


def test_leverage_is_read() -> None:
    body = ok([{"market": "BTC-USD", "leverage": "12.50"}])
    read = trading().leverage(BTC, NOW)
    assert read.request.url.endswith("/user/leverage?market=BTC-USD")
    assert read.parse(body, NOW) == [LeverageSeen("extended", BTC.key, 12.5, NOW)]
    with pytest.raises(WireError):
        read.parse(ok([{"market": "BTC-USD", "leverage": "most"}]), NOW)


class TestFundingPaid:
    ROW: ClassVar[dict[str, Any]] = {
        "id": 5,
        "accountId": 100_009,
        "market": "BTC-USD",
        "positionId": 7,
        "size": "0.1",
        "value": "8405.8",
        "markPrice": "84058",
        "paidTime": 1_790_424_001_028,
    }

    @pytest.mark.parametrize("sign", ["", "-"])
    @pytest.mark.parametrize(
        ("side", "rate", "amount"),
        [("LONG", "0.000013", -109_275), ("SHORT", "0.000013", 109_275), ("LONG", "-0.00001", 109_275),
         ("SHORT", "-0.00001", -109_275)],
    )  # fmt: skip
    def test_longs_pay_a_positive_rate_whatever_the_amounts_sign(
        self, side: str, rate: str, amount: int, sign: str
    ) -> None:
        row = self.ROW | {"side": side, "fundingRate": rate, "fundingFee": f"{sign}0.109275"}
        read = trading().funding_paid(NOW)
        assert read.request.url.endswith(f"/user/funding/history?fromTime={NOW - 24 * 3_600_000}")
        assert read.parse(ok([row]), NOW) == [FundingPaid("extended", BTC.key, amount, float(rate), 1_790_424_000_000)]

    def test_oldest_first_and_nothing_left_out(self) -> None:
        row = self.ROW | {"side": "LONG", "fundingRate": "0", "fundingFee": "0"}
        later = row | {"paidTime": 1_790_427_601_500}
        read = trading().funding_paid(NOW)
        events = read.parse(ok([later, row]), NOW)
        assert [event.settled_at_ms for event in events if isinstance(event, FundingPaid)] == [
            1_790_424_000_000,
            1_790_427_600_000,
        ]
        for bad in ({"side": "BOTH"}, {"fundingRate": "5"}, {"fundingFee": "x"}, {"market": "NOVEL-USD"}):
            with pytest.raises(WireError):
                read.parse(ok([row, row | bad]), NOW)


class TestAccount:
    def right(self, **fields: Any) -> bytes:
        return ok(sample("account", l2Key=hex(KEYS.public_key), l2Vault=str(KEYS.vault)) | fields)

    def test_the_right_one_is_no_news(self) -> None:
        read = trading().account(NOW)
        assert read.parse(self.right(), NOW) == []
        assert read.parse(self.right(l2Key=f"0x0{KEYS.public_key:X}", l2Vault=KEYS.vault), NOW) == []

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"l2Vault": "7"}, "vault is 7, not 10002"),
            ({"l2Key": "0x5"}, "public key is 0x5, not 0x"),
            ({"status": "LOCKED"}, "is LOCKED"),
        ],
    )
    def test_another_one_is_said(self, fields: dict[str, str], words: str) -> None:
        (event,) = trading().account(NOW).parse(self.right(**fields), NOW)
        assert isinstance(event, Incident)
        assert event.kind == "wrong_account"
        assert words in event.detail


def test_what_is_read_of_one_order_is_of_that_order_alone() -> None:
    mine, other = order_row(an_order(BTC)), order_row(an_order(BTC, venue_order_id="5", client_id="T000008-long-0"))
    fill, stranger = fill_row(a_fill(BTC)), fill_row(a_fill(BTC, fill_id="6", venue_order_id="5", client_id=None))
    open_orders, closed, fills = trading().order(OURS, BTC, NOW)
    for read in (open_orders, closed):
        assert [order.client_id for order in read.parse(ok([other, mine]), NOW)] == [OURS]  # type: ignore[union-attr]
        assert f"market={BTC.symbol}" in read.request.url
    assert f"externalId={OURS}" in closed.request.url
    assert fills.parse(ok([stranger, fill]), NOW) == [a_fill(BTC)]


def test_rows_of_others_from_before_a_change_of_the_tick_hide_no_fate() -> None:
    old_order = order_row(an_order(BTC, venue_order_id="5", client_id=None), price="0.125")
    old_fill = fill_row(a_fill(BTC, venue_order_id="5", client_id=None), price="0.125")
    _, closed, fills = trading().order(OURS, BTC, NOW)
    assert len(closed.parse(ok([order_row(an_order(BTC)), old_order]), NOW)) == 1
    assert fills.parse(ok([fill_row(a_fill(BTC)), old_fill]), NOW) == [a_fill(BTC)]
    for read, bad in ((closed, order_row(an_order(BTC), price="0.125")), (fills, fill_row(a_fill(BTC), price="0.125"))):
        with pytest.raises(WireError):
            read.parse(ok([bad]), NOW)


def test_a_rebate_is_signed_as_no_fee() -> None:
    venue = trading()
    venue.fees(NOW).parse(ok([sample("fee", makerFeeRate="-0.00002")]), NOW)
    signed = venue.sign(an_intent(BTC, time_in_force=TimeInForce.POST_ONLY), BTC, LANE, NOW)
    body = json.loads(signed.request.body or b"")
    assert (body["fee"], body["debuggingAmounts"]["feeAmount"]) == ("0", "0")


def test_an_intent_expires_soon_after_its_deadline() -> None:
    intent = an_intent(BTC, deadline_ms=NOW + 1_500)
    signed = trading().sign(intent, BTC, LANE, NOW)
    assert json.loads(signed.request.body or b"")["expiryEpochMillis"] == NOW + 6_500
    assert signed.void_after_ms == NOW + 11_500


def test_a_vault_can_be_looked_up() -> None:
    request, read = ask_vault("http://127.0.0.1:1", Credential(API_KEY))
    assert request.url == "http://127.0.0.1:1/api/v1/user/account/info"
    assert API_KEY not in repr(request)
    assert [read(ok(sample("account", l2Vault=vault))) for vault in ("10002", 10_002)] == [10_002, 10_002]
    for vault in ("", "0x5", "-1", None):
        with pytest.raises(WireError):
            read(ok(sample("account", l2Vault=vault)))


class TestFills:
    def test_pages_follow_the_last_id_and_end(self) -> None:
        read: AccountRead | None = trading().fills(NOW - 10_000, NOW)
        urls = []
        for number in range(100):
            assert read is not None
            urls.append(read.request.url.partition("?")[2])
            body = ok([fill_row(a_fill(BTC, fill_id=str(1_000 - number), at_ms=NOW - number))])
            (snapshot,) = read.parse(body, NOW)
            assert isinstance(snapshot, AccountSnapshot)
            assert (len(snapshot.rows), snapshot.since_ms) == (number + 1, NOW - number + 1)
            assert read.more is not None
            read = read.more(body)
            if read is None:
                break
        assert urls[:3] == ["limit=1000", "limit=1000&cursor=1000", "limit=1000&cursor=999"]
        assert len(urls) == facts.FILL_PAGES_MAX

    def test_an_empty_page_is_the_end(self) -> None:
        read = trading().fills(NOW - 10_000, NOW)
        body = ok([fill_row(a_fill(BTC))])
        assert read.more is not None
        second = read.more(body)
        assert second is not None
        assert second.more is not None
        (snapshot,) = second.parse(ok([]), NOW)
        assert isinstance(snapshot, AccountSnapshot)
        assert (snapshot.rows, snapshot.since_ms) == ((a_fill(BTC),), NOW - 10_000)
        assert second.more(ok([])) is None

    def test_an_old_fill_of_a_market_that_is_gone_hurts_nobody(self) -> None:
        body = ok([fill_row(a_fill(BTC)), fill_row(a_fill(BTC, at_ms=5), market="GONE-USD", price="0.123")])
        (snapshot,) = trading().fills(NOW - 10_000, NOW).parse(body, NOW)
        assert isinstance(snapshot, AccountSnapshot)
        assert snapshot.rows == (a_fill(BTC),)

    def test_a_new_fill_of_an_unknown_market_is_not_left_out(self) -> None:
        with pytest.raises(WireError, match="not listed"):
            trading().fills(NOW - 10_000, NOW).parse(ok([fill_row(a_fill(BTC), market="NOVEL-USD")]), NOW)


def test_an_acknowledged_orders_fills_are_ours_by_the_venues_id() -> None:
    venue = trading()
    signed = venue.sign(an_intent(BTC), BTC, LANE, NOW)
    body = ok({"id": 77, "externalId": OURS})
    assert venue.read_reply(signed, 200, body).venue_order_id == "77"
    row = fill_row(a_fill(BTC, venue_order_id="77"))
    del row["externalOrderId"]
    (snapshot,) = venue.fills(0, NOW).parse(ok([row]), NOW)
    assert isinstance(snapshot, AccountSnapshot)
    assert [fill.client_id for fill in snapshot.rows if isinstance(fill, ExecutionSeen)] == [OURS]


def test_markets_that_are_listed_later_are_known() -> None:
    markets = {}
    venue = ExtendedTrading("http://127.0.0.1:1", "ws://127.0.0.1:1", KEYS, markets)
    body = ok([order_row(an_order(BTC))])
    with pytest.raises(WireError, match="not listed"):
        venue.open_orders(NOW).parse(body, NOW)
    markets.update(MARKETS)
    (snapshot,) = venue.open_orders(NOW).parse(body, NOW)
    assert isinstance(snapshot, AccountSnapshot)


@pytest.mark.parametrize(
    ("rest", "stream"),
    [
        ("http://127.0.0.1:1", "ws://127.0.0.1:1"),
        ("http://127.0.0.1:1/api/v1/", "ws://127.0.0.1:1/stream.extended.exchange/v1"),
        ("http://127.0.0.1:1/", "ws://127.0.0.1:1/stream.extended.exchange/v2/rpc"),
        ("http://127.0.0.1:1/api/v1", "ws://127.0.0.1:1/api/v1/"),
    ],
)
def test_addresses_are_taken_as_the_venue_writes_them(rest: str, stream: str) -> None:
    venue = ExtendedTrading(rest, stream, KEYS, MARKETS)
    assert venue.balance(NOW).request.url == "http://127.0.0.1:1/api/v1/user/balance"
    assert venue.account_feeds([])[0].url == "ws://127.0.0.1:1/stream.extended.exchange/v1/account"
    assert account_url(stream) == "ws://127.0.0.1:1/stream.extended.exchange/v1/account"


def test_requests_carry_what_the_venue_wants() -> None:
    request = trading().balance(NOW).request
    assert request.headers["X-Api-Key"] == API_KEY
    assert request.headers["User-Agent"] == facts.USER_AGENT
    assert isinstance(request, Request)


class TestSecrets:
    def test_a_credential_is_text_that_no_repr_shows(self) -> None:
        one = Credential(API_KEY)
        assert one == API_KEY
        assert API_KEY not in repr(one) + repr({"a": one}) + repr([one]) + f"{one!r}"
        assert (one + "").encode() == API_KEY.encode()

    def test_keys_are_neither_shown_nor_pickled(self) -> None:
        assert repr(KEYS) == f"Keys(vault=10002, public_key={KEYS.public_key:#x})"
        assert not hasattr(KEYS, "__dict__")
        with pytest.raises(TypeError):
            KEYS.__reduce_ex__(4)

    @pytest.mark.parametrize("message", [API_KEY, "x" * 190 + API_KEY, "x" * 180 + API_KEY])
    def test_a_quoted_key_is_masked_even_where_it_is_cut(self, message: str) -> None:
        venue = trading()
        signed = venue.sign(an_intent(BTC), BTC, LANE, NOW)
        body = json.dumps({"status": "ERROR", "error": {"code": 1140, "message": message}}).encode()
        outcome = venue.read_reply(signed, 400, body)
        assert outcome.verdict is SendVerdict.REJECTED
        assert API_KEY[:8] not in outcome.reason.lower()

    def test_a_read_that_quotes_the_key_is_masked(self) -> None:
        body = json.dumps({"status": "ERROR", "error": {"code": 401, "message": f"bad key {API_KEY}"}}).encode()
        reads = [trading().balance(NOW), trading().open_orders(NOW), trading().fills(0, NOW), trading().fees(NOW)]
        for read in reads:
            with pytest.raises(WireError) as caught:
                read.parse(body, NOW)
            assert API_KEY not in str(caught.value)


def test_networks_sign_apart() -> None:
    one = trading()
    other = ExtendedTrading("http://127.0.0.1:1", "ws://127.0.0.1:1", KEYS, MARKETS, TESTNET)
    bodies = [venue.sign(an_intent(BTC), BTC, LANE, NOW).request.body for venue in (one, other)]
    assert bodies[0] != bodies[1]


def test_two_accounts_do_not_mix() -> None:
    other = Keys(vault=10_003, private_key="0x5", api_key="another")
    venue = ExtendedTrading("http://127.0.0.1:1", "ws://127.0.0.1:1", other, MARKETS)
    signed = venue.sign(an_intent(BTC), BTC, LANE, NOW)
    settlement = json.loads(signed.request.body or b"")["settlement"]
    assert (settlement["collateralPosition"], signed.request.headers["X-Api-Key"]) == ("10003", "another")
    assert settlement["starkKey"] == hex(other.public_key)
    assert PRIVATE_KEY not in repr(signed)


def test_the_case_is_about_open_markets() -> None:
    assert all(market.excluded is None for market in TRADING_CASE.markets)
    assert msgspec.structs.replace(BTC, settlement="") != BTC

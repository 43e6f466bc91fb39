"""Extended's orders: equal to what the unmodified official SDK sends, refused before signing, answers read."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import fast_stark_crypto
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from x10.config import MAINNET_CONFIG, TESTNET_CONFIG
from x10.core.stark_account import StarkPerpetualAccount
from x10.models.market import MarketModel
from x10.models.order import MassCancelRequestModel, OrderSide, OrderType, TimeInForce
from x10.signing.order_object import create_order_object

from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.trading import KEY_REFUSED, Lane, SendVerdict
from twinleg.venues.extended import facts, orders, sign
from twinleg.venues.extended.orders import Door, NewOrder, outcome
from twinleg.venues.extended.sign import Keys
from venues.battery import listed
from venues.extended.case import CASE, row
from venues.extended.trading_case import API_KEY, KEYS, PRIVATE_KEY, trading

NOW = 1_790_425_443_000
FEE = Decimal("0.000225")
MARKETS = listed(CASE)
BTC, ETH = MARKETS["BTC-USD"], MARKETS["ETH-USD"]


def theirs(order: NewOrder, market: Market, fee: Decimal, config: Any = MAINNET_CONFIG) -> Any:
    """The body that the official SDK sends for the same order."""
    collateral_id, collateral_parts, synthetic_id, synthetic_parts = market.settlement.split(":")
    assets = {"collateralId": collateral_id, "collateralResolution": collateral_parts, "type": "STARKX"}
    assets |= {"syntheticId": synthetic_id, "syntheticResolution": synthetic_parts}
    listed_as = row(market.symbol, tradingHours="CONTINUOUS", l2Config=assets)
    model = create_order_object(
        account=StarkPerpetualAccount(KEYS.vault, PRIVATE_KEY, hex(KEYS.public_key), API_KEY),
        market=MarketModel.model_validate(listed_as),
        amount_of_synthetic=Decimal(market.size_grid.text(order.size_lots)),
        price=Decimal(market.price_grid.text(order.limit_ticks)),
        side=OrderSide[order.side.name],
        starknet_domain=config.signing.starknet_domain,
        order_type=OrderType(order.type),
        post_only=order.post_only,
        previous_order_external_id=order.replaces,
        expire_time=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=order.expiry_ms),
        order_external_id=order.external_id,
        time_in_force=TimeInForce(order.time_in_force),
        nonce=orders.salt_of(order.external_id),
        taker_fee=fee,
        reduce_only=order.reduce_only,
    )
    return model.to_api_request_json(exclude_none=True)


def an_order(**fields: Any) -> NewOrder:
    given_ = {
        "external_id": "T000007-long-0",
        "side": Side.BUY,
        "size_lots": 12_345,
        "limit_ticks": 84_077,
        "time_in_force": "GTT",
        "expiry_ms": NOW + 60_001,
    }
    return NewOrder(**(given_ | fields))  # type: ignore[arg-type]


SHAPES = {
    "limit": {},
    "sell": {"side": Side.SELL},
    "ioc": {"time_in_force": "IOC"},
    "post-only": {"post_only": True},
    "reduce-only": {"time_in_force": "IOC", "reduce_only": True, "side": Side.SELL},
    "bounded market": {"type": "MARKET", "time_in_force": "IOC"},
    "edit": {"replaces": "T000007-long-9"},
    "least": {"size_lots": 10, "limit_ticks": 1},
    "huge": {"size_lots": 10**9, "limit_ticks": 9_999_999},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("fee", [FEE, Decimal("0.00025"), Decimal(0)], ids=str)
@pytest.mark.parametrize("market", [BTC, ETH], ids=lambda market: market.symbol)
def test_the_official_sdk_would_send_the_same(shape: dict[str, Any], fee: Decimal, market: Market) -> None:
    order = an_order(**shape)
    body = orders.order_body(order, market, fee, KEYS, sign.MAINNET)
    assert json.loads(body) == theirs(order, market, fee)
    assert list(json.loads(body)) == list(theirs(order, market, fee)) or order.replaces


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("lots", [10, 11, 12_345])
def test_parts_that_do_not_come_out_even_are_rounded_as_the_sdk_does(side: Side, lots: int) -> None:
    """A lot may be less than a part of the asset: a buy is signed for more, a sell for less."""
    market = msgspec.structs.replace(ETH, settlement="0x1:1000:0x4554482d3700000000000000000000:1000")
    order = an_order(side=side, size_lots=lots, limit_ticks=4_321)
    assert json.loads(orders.order_body(order, market, FEE, KEYS, sign.MAINNET)) == theirs(order, market, FEE)


def test_the_other_network_is_another_signature() -> None:
    order = an_order()
    body = orders.order_body(order, BTC, FEE, KEYS, sign.TESTNET)
    assert json.loads(body) == theirs(order, BTC, FEE, TESTNET_CONFIG)
    assert body != orders.order_body(order, BTC, FEE, KEYS, sign.MAINNET)


@given(
    st.sampled_from(Side),
    st.integers(10, 10**8),
    st.integers(1, 10**7),
    st.integers(0, 1_000),
    st.integers(NOW + 1, NOW + facts.EXPIRY_MS_MAX),
)
def test_any_order_is_the_sdks(side: Side, lots: int, ticks: int, fee: int, expiry_ms: int) -> None:
    order = an_order(side=side, size_lots=lots, limit_ticks=ticks, expiry_ms=expiry_ms, external_id=f"x{lots}")
    rate = Decimal(fee) / 1_000_000
    told = theirs(order, ETH, rate)
    assert json.loads(orders.order_body(order, ETH, rate, KEYS, sign.MAINNET)) == told | {
        "fee": f"{rate.normalize():f}"
    }


def test_a_signature_verifies_and_a_changed_amount_does_not() -> None:
    order = an_order()
    body = json.loads(orders.order_body(order, BTC, FEE, KEYS, sign.MAINNET))
    amounts = sign.amounts_of(BTC, order.side, order.size_lots, order.limit_ticks, Fraction(FEE))
    told = sign.order_hash(BTC, amounts, KEYS, sign.MAINNET, orders.salt_of(order.external_id), order.expiry_ms)
    r, s = (int(body["settlement"]["signature"][part], 16) for part in "rs")
    assert fast_stark_crypto.verify(KEYS.public_key, told, r, s)
    dearer = msgspec.structs.replace(amounts, collateral=amounts.collateral - 1)
    told = sign.order_hash(BTC, dearer, KEYS, sign.MAINNET, orders.salt_of(order.external_id), order.expiry_ms)
    assert not fast_stark_crypto.verify(KEYS.public_key, told, r, s)


def test_salts_are_in_range_and_differ() -> None:
    salts = {orders.salt_of(f"T{number:06d}-{leg}-0") for number in range(2_000) for leg in ("long", "short")}
    assert len(salts) == 4_000
    assert all(1 <= salt <= facts.SALT_MAX for salt in salts)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size_lots": 9}, "below extended:BTC-USD's least order of 0.00010"),
        ({"size_lots": 0}, "positive"),
        ({"size_lots": -5, "reduce_only": True}, "positive"),
        ({"limit_ticks": 0}, "positive"),
        ({"post_only": True, "time_in_force": "IOC"}, "post-only"),
        ({"type": "MARKET"}, "must be IOC"),
        ({"expiry_ms": NOW}, "expiry"),
        ({"expiry_ms": NOW + facts.EXPIRY_MS_MAX + 1}, "expiry"),
        ({"size_lots": 10**18}, "more than the chain can count"),
    ],
)
def test_what_could_never_be_taken_is_not_signed(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        trading().sign_order(an_order(**fields), BTC, Lane("stark", None), NOW)


def test_dust_may_leave() -> None:
    order = an_order(size_lots=1, reduce_only=True, time_in_force="IOC")
    assert trading().sign_order(order, BTC, Lane("stark", None), NOW).request.reduces_risk


@pytest.mark.parametrize("settlement", ["", "1:2:3", "0x1:0:0x2:1", "a:b:c:d", "0x1:-1:0x2:5"])
def test_a_market_without_asset_ids_is_not_signed(settlement: str) -> None:
    market = msgspec.structs.replace(BTC, settlement=settlement)
    with pytest.raises(ValueError, match="asset ids"):
        trading().sign_order(an_order(), market, Lane("stark", None), NOW)


def test_unknown_fees_are_not_guessed() -> None:
    market = msgspec.structs.replace(BTC, taker_fee_bps=None)
    with pytest.raises(ValueError, match="fees"):
        trading().sign_order(an_order(), market, Lane("stark", None), NOW)


def test_the_accounts_own_rates_are_signed() -> None:
    venue = trading()

    def signed_fee(**fields: Any) -> str:
        signed = venue.sign_order(an_order(**fields), BTC, Lane("stark", None), NOW)
        return str(json.loads(signed.request.body or b"")["fee"])

    assert (signed_fee(), signed_fee(post_only=True)) == ("0.00025", "0")
    body = {"market": "BTC-USD", "makerFeeRate": "0.00001", "takerFeeRate": "0.0002250", "builderFeeRate": "0"}
    (seen,) = venue.fees(NOW).parse(json.dumps({"status": "OK", "data": [body]}).encode(), NOW)
    assert (signed_fee(), signed_fee(post_only=True)) == ("0.000225", "0.00001")
    assert (seen.maker_bps, seen.taker_bps) == (0.1, 2.25)  # type: ignore[union-attr]


class TestRequests:
    def test_a_mass_cancel_is_the_sdks(self) -> None:
        lane = Lane("stark", None)
        one, every = (trading().sign_cancel_all(market, lane, NOW).request for market in (BTC, None))
        assert one.url == every.url == "http://127.0.0.1:1/api/v1/user/order/massCancel"
        told = [MassCancelRequestModel(markets=["BTC-USD"], cancel_all=False), MassCancelRequestModel(cancel_all=True)]
        assert [json.loads(request.body or b"") for request in (one, every)] == [
            model.to_api_request_json(exclude_none=True) for model in told
        ]

    def test_a_cancel_names_its_order(self) -> None:
        lane = Lane("stark", None)
        request = trading().sign_cancel("T000007-long-0", "12", BTC, lane, NOW).request
        assert (request.method, request.body) == ("DELETE", None)
        assert request.url == "http://127.0.0.1:1/api/v1/user/order?externalId=T000007-long-0"
        assert trading().sign_cancel("", "12", BTC, lane, NOW).request.url.endswith("/user/order/12")
        with pytest.raises(ValueError, match="names its order"):
            trading().sign_cancel("", None, BTC, lane, NOW)

    @pytest.mark.parametrize(("fires_at_ms", "seconds"), [(None, 0), (NOW + 1, 1), (NOW + 60_000, 60)])
    def test_the_switch_counts_in_whole_seconds(self, fires_at_ms: int | None, seconds: int) -> None:
        request = trading().sign_dead_man_switch(fires_at_ms, Lane("stark", None), NOW).request
        assert request.url.endswith(f"/user/deadmanswitch?countdownTime={seconds}")
        assert request.method == "POST"

    def test_a_switch_in_the_past_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not after"):
            trading().sign_dead_man_switch(NOW, Lane("stark", None), NOW)

    @pytest.mark.parametrize(("leverage", "text"), [(10.0, "10"), (2.5, "2.5"), (50, "50")])
    def test_leverage_is_a_plain_number(self, leverage: float, text: str) -> None:
        request = trading().sign_leverage(BTC, leverage, Lane("stark", None), NOW).request
        assert (request.method, json.loads(request.body or b"")) == ("PATCH", {"market": "BTC-USD", "leverage": text})

    @pytest.mark.parametrize("leverage", [0.5, 51.0, float("nan"), float("inf"), -3.0])
    def test_impossible_leverage_is_refused(self, leverage: float) -> None:
        with pytest.raises(ValueError, match="leverage"):
            trading().sign_leverage(BTC, leverage, Lane("stark", None), NOW)


def verdict(status: int | None, body: object, request: str = "place") -> SendVerdict:
    venue, lane = trading(), Lane("stark", None)
    signed = {
        "place": lambda: venue.sign_order(an_order(), BTC, lane, NOW),
        "cancel": lambda: venue.sign_cancel("T000007-long-0", None, BTC, lane, NOW),
        "switch": lambda: venue.sign_dead_man_switch(None, lane, NOW),
        "leverage": lambda: venue.sign_leverage(BTC, 10, lane, NOW),
    }[request]()
    return venue.read_reply(signed, status, body if isinstance(body, bytes) else json.dumps(body).encode()).verdict


def error(code: object) -> dict[str, Any]:
    return {"status": "ERROR", "error": {"code": code, "message": "said the venue", "debugInfo": "x"}}


class TestVerdicts:
    @pytest.mark.parametrize("code", [1120, 1128, 1137, 1140, 1001, 1101, 400, 1011])
    @pytest.mark.parametrize("status", [200, 400, 403, 422])
    def test_a_definite_code_is_a_no(self, status: int, code: int) -> None:
        assert verdict(status, error(code)) is SendVerdict.REJECTED

    @pytest.mark.parametrize("code", [1134, 1006, 500, 404, 408, 429, "1140", None, 11.5, True, [], -1.0])
    @pytest.mark.parametrize("status", [200, 400, 404])
    def test_a_doubtful_code_is_none(self, status: int, code: object) -> None:
        assert verdict(status, error(code)) is SendVerdict.UNKNOWN

    def test_a_name_that_is_taken_and_a_key_that_is_refused_are_told(self) -> None:
        request = Door("http://x", API_KEY).place(b"{}", reduces_risk=False)
        assert outcome(request, "one", 400, json.dumps(error(1134)).encode()).exists
        assert not outcome(request, "one", 400, json.dumps(error(1140)).encode()).exists
        assert outcome(request, "one", 401, b"").incident == KEY_REFUSED
        assert outcome(request, "one", 403, json.dumps(error(1140)).encode()).incident is None

    def test_a_code_nobody_knows_counts_by_its_status(self) -> None:
        assert [verdict(status, error(1999)) for status in (200, 400, 500)] == [
            SendVerdict.UNKNOWN,
            SendVerdict.REJECTED,
            SendVerdict.UNKNOWN,
        ]

    def test_a_cancel_of_what_is_not_there_is_refused(self) -> None:
        assert verdict(404, error(404), "cancel") is SendVerdict.REJECTED
        assert verdict(404, b"", "cancel") is verdict(404, error(404)) is SendVerdict.UNKNOWN

    def test_another_orders_acknowledgement_is_none_of_this(self) -> None:
        assert verdict(200, {"status": "OK", "data": {"id": 5, "externalId": "other"}}) is SendVerdict.UNKNOWN

    @pytest.mark.parametrize("data", [None, {}, {"id": 5}, {"id": None, "externalId": "T000007-long-0"}, [], 17])
    def test_no_id_is_no_acceptance(self, data: object) -> None:
        assert verdict(200, {"status": "OK", "data": data}) is SendVerdict.UNKNOWN

    @pytest.mark.parametrize(
        ("request_", "body", "accepted"),
        [
            ("cancel", {"status": "OK"}, True),
            ("cancel", b"", False),
            ("cancel", {}, False),
            ("leverage", b"", True),
            ("leverage", {}, True),
            ("switch", b"", True),
            ("switch", {"status": "OK"}, True),
            ("switch", {"status": "WELL"}, False),
        ],
    )
    def test_what_answers_with_silence(self, request_: str, body: object, accepted: bool) -> None:
        assert (verdict(200, body, request_) is SendVerdict.ACCEPTED) is accepted


@pytest.mark.parametrize("seed", range(3))
def test_signing_twice_is_signing_once(seed: int) -> None:
    dice = random.Random(seed)
    order = an_order(size_lots=dice.randint(10, 10**6), limit_ticks=dice.randint(1, 10**6))
    one, other = (trading().sign_order(order, BTC, Lane("stark", None), now) for now in (NOW, NOW + 59_000))
    assert one == other


class TestKeys:
    def test_the_public_key_follows(self) -> None:
        keys = Keys(vault=1, private_key=PRIVATE_KEY.removeprefix("0x").upper(), api_key="k", public_key=None)
        assert keys.public_key == KEYS.public_key

    @pytest.mark.parametrize("vault", [0, -1, 2**32])
    def test_a_vault_is_a_small_number(self, vault: int) -> None:
        with pytest.raises(ValueError, match="vault"):
            Keys(vault=vault, private_key=PRIVATE_KEY, api_key="k")

    @pytest.mark.parametrize("key", ["", "0x", "0x0", "zz", "0x1_0", hex(sign.CURVE_ORDER), f"0x{'f' * 70}", "-1"])
    def test_what_is_no_private_key_is_refused_unseen(self, key: str) -> None:
        with pytest.raises(ValueError, match="private key") as caught:
            Keys(vault=1, private_key=key, api_key="k")
        assert len(key) < 5 or key not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None, "the cause would show it"

    def test_a_pair_that_is_none_is_explained(self) -> None:
        with pytest.raises(ValueError, match="0x5 is not the private key's, which is 0x") as caught:
            Keys(vault=1, private_key=PRIVATE_KEY, api_key="k", public_key="0x5")
        assert PRIVATE_KEY[2:] not in str(caught.value)

    @pytest.mark.parametrize("key", ["", "a b", "naïve", "line\n"])
    def test_an_api_key_is_one_word(self, key: str) -> None:
        with pytest.raises(ValueError, match="API key"):
            Keys(vault=1, private_key=PRIVATE_KEY, api_key=key)

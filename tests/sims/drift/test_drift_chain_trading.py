"""Trading on the simulated chain: what lands, who fills it, what it costs."""

from __future__ import annotations

import pytest
from drift_chain import BASE, LONG, MARKET, SHORT, TRIGGER_MARKET, Chain, order

from twinleg_sims.drift.call import Meta
from twinleg_sims.drift.keys import derived
from twinleg_sims.drift.members import ASSOCIATED_TOKEN
from twinleg_sims.drift.money import TOKEN_PROGRAM
from twinleg_sims.drift.positions import perp_position
from twinleg_sims.drift.profile import DRIFT, VELOCITY, Profile
from twinleg_sims.drift.words import FUNDING, Status

BOTH = pytest.mark.parametrize("profile", [DRIFT, VELOCITY], ids=["drift", "velocity"])


@BOTH
def test_a_post_only_order_rests_until_it_is_cancelled(profile: Profile) -> None:
    chain = Chain(profile)
    client = chain.open()
    client.place(price=chain.price * 9 // 10, post_only=1, user_id=9)
    assert client.orders() == [], "sent is not landed"
    chain.slots(30)
    (resting,) = client.orders()
    assert (resting["user_order_id"], resting["base_asset_amount"]) == (9, BASE // 10)
    client.cancel_all()
    chain.slots()
    assert client.orders() == []


@BOTH
def test_a_market_order_is_filled_by_a_keeper_and_charged(profile: Profile) -> None:
    chain = Chain(profile)
    client = chain.open()
    client.place(kind=MARKET)
    chain.until(lambda: client.held() == BASE // 10)
    position = perp_position(client.user, 0)
    assert position is not None
    fee = position["quote_entry_amount"] - position["quote_break_even_amount"]
    paid = -position["quote_entry_amount"]
    assert fee == -(-paid * 35 // 100_000), "3.5 basis points, rounded up"
    assert chain.market()["base_asset_amount_long"] == BASE // 10
    assert client.user["open_orders"] == 0


def test_a_short_closes_a_long_and_leaves_no_open_interest() -> None:
    chain = Chain()
    client = chain.open()
    client.place(kind=MARKET)
    chain.until(lambda: client.held() > 0)
    client.place(kind=MARKET, direction=SHORT, reduce_only=1, base=BASE)
    chain.until(lambda: client.held() == 0)
    chain.until(lambda: not client.orders())
    market = chain.market()
    assert (market["base_asset_amount_long"], market["base_asset_amount_short"]) == (0, 0)
    assert market["number_of_users_with_base"] == 0


def test_two_users_trade_with_each_other_at_the_makers_price() -> None:
    chain = Chain()
    maker, taker = chain.open(), chain.open()
    chain.fault("amm_off")
    price = chain.price * 1001 // 1000 // 100 * 100
    maker.place(price=price, direction=SHORT, base=BASE)
    chain.slots(2)
    taker.place(kind=MARKET, base=BASE // 2, slots=10, start=price, end=price * 102 // 100)
    chain.until(lambda: taker.held() == BASE // 2)
    assert maker.held() == -BASE // 2
    position = perp_position(maker.user, 0)
    assert position is not None
    assert position["quote_entry_amount"] == price // 2
    assert position["quote_asset_amount"] > position["quote_entry_amount"], "a maker is paid"


def test_a_resting_order_is_a_maker_when_the_amm_comes_to_it() -> None:
    chain = Chain()
    client = chain.open()
    price = chain.price * 9999 // 10_000 // 100 * 100
    client.place(price=price, post_only=1)
    chain.until(lambda: client.held() > 0)
    position = perp_position(client.user, 0)
    assert position is not None
    assert -position["quote_entry_amount"] == price // 10
    rebate = position["quote_break_even_amount"] - position["quote_entry_amount"]
    assert rebate == price // 10 * 25 // 1_000_000, "a quarter of a basis point"


def test_a_post_only_order_takes_from_nobody() -> None:
    chain = Chain()
    seller, buyer = chain.open(), chain.open()
    chain.fault("amm_off")
    price = chain.price // 100 * 100
    seller.place(price=price, direction=SHORT, post_only=1)
    buyer.place(price=price, post_only=1)
    chain.slots(20)
    assert [len(each.orders()) for each in (seller, buyer)] == [1, 1], "only the AMM is looked at when they are placed"
    assert (seller.held(), buyer.held()) == (0, 0)


def test_a_stop_waits_outside_the_book_until_the_oracle_passes_it() -> None:
    chain = Chain()
    client = chain.open()
    client.place(kind=MARKET)
    chain.until(lambda: client.held() > 0)
    client.place(kind=TRIGGER_MARKET, direction=SHORT, reduce_only=1, trigger=chain.price * 8 // 10, below=1)
    client.place(kind=TRIGGER_MARKET, direction=SHORT, reduce_only=1, trigger=chain.price * 9999 // 10_000, below=1)
    chain.slots(2)
    position = perp_position(client.user, 0)
    assert position is not None
    assert (position["open_asks"], position["open_orders"]) == (0, 2)
    chain.until(lambda: client.held() == 0, slots=2_000)
    (left,) = client.orders()
    assert left["trigger_condition"] == 1, "the far one waits on"


def test_place_and_take_trades_at_once_with_the_amm_or_not_at_all() -> None:
    chain = Chain()
    client = chain.open()
    metas = client.metas(stats=True)
    words = order(price=chain.price * 101 // 100, flags=1) + b"\0"
    client.send("place_and_take_perp_order", words, metas)
    chain.slots(2)
    assert client.held() == BASE // 10
    assert client.orders() == []
    chain.fault("amm_off")
    refused = client.sent("place_and_take_perp_order", words, client.metas(stats=True))
    assert refused["error"]["data"]["err"] == {"InstructionError": [0, {"Custom": 6252}]}


def test_an_order_that_is_over_costs_a_cent() -> None:
    chain = Chain()
    client = chain.open()
    client.place(price=chain.price // 2, max_ts=chain.now_ms // 1000 + 5)
    chain.slots(5)
    assert len(client.orders()) == 1
    chain.until(lambda: not client.orders())
    position = perp_position(client.user, 0)
    assert position is not None
    assert position["quote_asset_amount"] == -10_000


def test_a_modified_order_is_a_new_one_with_the_same_user_id() -> None:
    chain = Chain()
    client = chain.open()
    client.place(price=chain.price // 2, user_id=3)
    chain.slots(2)
    before = client.orders()[0]["order_id"]
    price = chain.price // 3 // 100 * 100
    changes = b"\0\0" + b"\1" + price.to_bytes(8, "little") + bytes(11)
    client.send("modify_order_by_user_id", b"\3" + changes)
    chain.slots(2)
    (changed,) = client.orders()
    assert (changed["user_order_id"], changed["price"]) == (3, price)
    assert changed["order_id"] > before


def test_the_first_money_is_deposited_and_withdrawn() -> None:
    chain = Chain()
    client = chain.open(100)
    profile = chain.profile
    wallet = derived(ASSOCIATED_TOKEN, client.authority, TOKEN_PROGRAM, profile.quote_mint)
    signer = Meta(client.authority, signer=True, writable=True)

    def metas(*addresses: bytes) -> list[Meta]:
        head = [profile.state_key, client.user_key, profile.stats_key(client.authority)]
        rest = [Meta(address, signer=False, writable=True) for address in (*addresses, TOKEN_PROGRAM)]
        return [Meta(a, signer=False, writable=True) for a in head] + [signer, *rest, *client.metas()[3:]]

    amount = (50_000_000).to_bytes(8, "little")
    client.send("deposit", b"\0\0" + amount + b"\0", metas(profile.vault_key(0), wallet))
    chain.slots(2)
    assert client.user.all("spot_positions")[0]["scaled_balance"] == 150 * BASE
    client.send("withdraw", b"\0\0" + amount + b"\0", metas(profile.vault_key(0), profile.signer_key(), wallet))
    chain.slots(2)
    assert client.user.all("spot_positions")[0]["scaled_balance"] == 100 * BASE


def test_funding_is_set_every_full_hour_and_owed_lazily() -> None:
    chain = Chain()
    client = chain.open()
    client.place(kind=MARKET)
    chain.until(lambda: client.held() > 0)
    before = perp_position(client.user, 0)
    assert before is not None
    start = chain.market()["last_funding_rate_ts"]
    chain.until(lambda: chain.market()["last_funding_rate_ts"] > start, slots=9_000)
    assert chain.market()["last_funding_rate_ts"] % 3600 == 0
    rate = chain.market()["cumulative_funding_rate_long"] - before["last_cumulative_funding_rate"]
    untouched = perp_position(client.user, 0)
    assert untouched is not None
    assert untouched["quote_asset_amount"] == before["quote_asset_amount"], "nobody has touched it"
    client.send("settle_funding_payment", b"", [client.metas()[0], client.metas()[1], *client.metas()[2:]])
    chain.slots(2)
    after = perp_position(client.user, 0)
    assert after is not None
    paid = before["quote_asset_amount"] - after["quote_asset_amount"]
    assert paid == pytest.approx(rate * (BASE // 10) / (FUNDING * 1000), abs=1)
    assert after["last_cumulative_funding_rate"] == chain.market()["cumulative_funding_rate_long"]


def test_velocity_keeps_a_closed_order_and_shows_how_it_ended() -> None:
    chain = Chain(VELOCITY)
    client = chain.open()
    client.place(price=chain.price // 2, direction=LONG)
    chain.slots(2)
    client.cancel_all()
    chain.slots(2)
    assert client.user.all("orders")[0]["status"] == Status.CANCELED

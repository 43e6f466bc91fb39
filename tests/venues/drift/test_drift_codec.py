"""The chain's bytes: accounts, instructions, messages and signatures, against recordings and other implementations."""

from __future__ import annotations

import base64
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from twinleg.venues.drift.chain import ed25519, instructions, keys, layout, message
from twinleg.venues.drift.chain.instructions import Dialect, OrderParams
from venues.drift import driftpy_words

DATA = Path(__file__).parents[2] / "data" / "drift"


def recorded(name: str) -> Any:
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


def test_signatures_are_those_of_another_implementation() -> None:
    dice = random.Random(7)
    for length in range(40):
        seed, text = dice.randbytes(32), dice.randbytes(length * 9)
        ours, theirs = ed25519.Key(seed), ECC.construct(curve="Ed25519", seed=seed)
        assert ours.public == theirs.public_key().export_key(format="raw")
        assert ours.sign(text) == eddsa.new(theirs, "rfc8032").sign(text)


def test_the_standards_example_is_signed() -> None:
    key = ed25519.Key(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert "4ccd" not in repr(key)


def test_tables_can_be_made_ahead() -> None:
    ed25519.load()
    assert ed25519.encoded(ed25519.base_times(1)).hex() == "58" + "66" * 31


def test_addresses_have_text_and_owners() -> None:
    program = keys.address("vELoC1audYbSYVRXn1vPaV8Axoa9oU6BYmNGZZBDZ1P")
    state = keys.owned_address(program, b"velocity_state")
    assert keys.base58(state) == "2etx5NvPNxeMZ7EfHE6GjJfW2imRYEUANehNS1WB4CVW"
    assert keys.base58(keys.SYSTEM_PROGRAM) == "1" * 32
    assert keys.address("1" * 32) == keys.SYSTEM_PROGRAM
    for text in ("", "0", "l", "é", "1" * 31, "1" * 33, "z" * 500):
        with pytest.raises(ValueError, match=r"base58|address"):
            keys.address(text)


def test_all_recorded_users_are_read_and_written_again() -> None:
    accounts = [base64.b64decode(text) for text in recorded("drift_v2_user_accounts_base64")]
    users = [layout.read_user(layout.DRIFT_V2, account) for account in accounts]
    assert [layout.write_user(layout.DRIFT_V2, user) for user in users] == accounts
    assert len(users) == 100
    assert sum(len(user.open_orders()) for user in users) == 16
    assert all(user.positions() or user.balances() or not user.open_orders() for user in users)


def test_all_recorded_markets_are_read() -> None:
    for row in recorded("drift_v2_market_oracle_user_accounts"):
        data = base64.b64decode(row["data_base64"])
        if row["kind"] == "PerpMarket":
            perp = layout.read_perp_market(layout.DRIFT_V2, data)
            told = (perp.name, perp.market_index, perp.oracle_price, perp.last_funding_rate, perp.last_funding_rate_ts)
            wanted = ("name", "market_index", "last_oracle_price", "last_funding_rate", "last_funding_rate_ts")
            assert told == tuple(row[name] for name in wanted)
        elif row["kind"] == "SpotMarket":
            spot = layout.read_spot_market(layout.DRIFT_V2, data)
            assert (spot.name, spot.market_index, spot.oracle_price) == (
                row["name"], row["market_index"], row["last_oracle_price"],
            )  # fmt: skip
            assert 10**10 <= spot.deposit_interest < spot.borrow_interest < 2 * 10**10


def test_what_the_relaunched_program_wrote_is_read() -> None:
    golden = recorded("svm_golden_velocity_202608")
    accounts = {data[:8]: data for data in map(base64.b64decode, golden["initial_accounts_b64"].values())}
    market = layout.read_perp_market(layout.VELOCITY, accounts[layout.PERP_MARKET])
    assert (market.name, market.step, market.tick, market.min_order) == ("SOL-PERP", 10**7, 1_000, 10**7)
    assert (market.status, market.margin_initial, market.funding_clamp_bps) == (1, 500, 5)
    money = layout.read_spot_market(layout.VELOCITY, accounts[layout.SPOT_MARKET])
    assert (money.name, money.decimals, money.market_index) == ("USDT", 6, 0)
    assert keys.base58(money.mint) == "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
    assert layout.read_fees(layout.VELOCITY, accounts[layout.STATE]) == (3.5, -0.25, 10_000)
    assert layout.read_stats_authority(accounts[layout.USER_STATS]) == keys.address(golden["authority"])
    assert 999_000 < layout.read_oracle(accounts[layout.LAZER]).price < 1_001_000
    told = {step["label"]: base64.b64decode(step["user_after_b64"]) for step in golden["steps"]}
    for data in told.values():
        assert layout.write_user(layout.VELOCITY, layout.read_user(layout.VELOCITY, data)) == data
    (order,) = layout.read_user(layout.VELOCITY, told["post-only bid 1% below oracle"]).open_orders()
    assert (order.order_id, order.user_order_id, order.price, order.post_only) == (1, 7, 75_577_000, 1)
    (position,) = layout.read_user(layout.VELOCITY, told["keeper fill at +5 slots"]).positions()
    assert (position.base_asset_amount, position.market_index) == (10**8, 0)


def test_orders_are_those_that_the_programs_took() -> None:
    """The instruction bytes of both recordings, made of what the accounts then showed."""
    order = OrderParams(1, 1, 0, 7, 10**8, 75_577_000, 0, post_only=instructions.POST_ONLY_MUST)
    wanted = {
        step["label"]: base64.b64decode(step["ix_data_b64"]) for step in recorded("svm_golden_velocity_202608")["steps"]
    }
    velocity = Dialect("q", b"\0\0")
    assert instructions.place_perp(order, velocity) == wanted["post-only bid 1% below oracle"]
    assert instructions.place_perp(order, Dialect("i", b"")) == wanted["driftpy 0.8.89 encoding, no builder bytes"]
    assert instructions.cancel(1) == wanted["cancel order_id 1"]
    assert instructions.cancel_by_user_id(7) == wanted["cancel_order_by_user_id"]
    assert instructions.cancel_orders() == wanted["cancel all"]


def test_instructions_are_driftpys() -> None:
    ours = [data.hex() for _, _, data in driftpy_words.some(1, 200)]
    assert ours == driftpy_words.recorded()["instructions"]


def test_transactions_are_solders() -> None:
    assert [driftpy_words.by_us(told).hex() for told in driftpy_words.transactions(1, 60)] == driftpy_words.recorded()[
        "transactions"
    ]


def test_a_lookup_table_is_read() -> None:
    first, second = bytes([1]) * 32, bytes([2]) * 32
    table = message.read_table(first, b"\1\0\0\0" + bytes(52) + second + first + second)
    assert table.places == {second: 0, first: 1}
    for data in (b"", bytes(56), b"\1\0\0\0" + bytes(53)):
        with pytest.raises(ValueError, match="no lookup table"):
            message.read_table(first, data)


def test_what_does_not_fit_is_refused() -> None:
    order = OrderParams(1, 1, 0, 7, 10**8, 75_577_000, 0)
    for wrong in ({"base_asset_amount": 2**64}, {"user_order_id": 256}, {"price": -1}, {"trigger_condition": 256}):
        with pytest.raises(ValueError, match="no bytes"):
            instructions.place_perp(order._replace(**wrong), Dialect("i", b""))
    with pytest.raises(ValueError, match="no bytes"):
        instructions.modify(1, instructions.ModifyParams(price=-1), Dialect("i", b""))
    with pytest.raises(ValueError, match="at most 1232"):
        message.transaction(bytes(64), bytes(1_200))
    with pytest.raises(ValueError, match="no User"):
        layout.read_user(layout.DRIFT_V2, bytes(4376))


def test_the_budget_comes_first() -> None:
    units, price = message.compute_budget(200_000, 7)
    assert (units.data.hex(), price.data.hex()) == ("02400d0300", "030700000000000000")

"""Account layouts: recorded accounts are read and written back to the same bytes, and say what is known of them."""

from __future__ import annotations

from base64 import b64decode

import pytest
from drift_recorded import recorded

from twinleg_sims.drift import accounts_v2, accounts_velocity
from twinleg_sims.drift.keys import discriminator, from_base58, key, to_base58
from twinleg_sims.drift.layout import Layout, Record, decoded, encoded, flat, layout
from twinleg_sims.drift.profile import DRIFT, VELOCITY

LAYOUTS = {
    "User": accounts_v2.USER,
    "PerpMarket": accounts_v2.PERP_MARKET,
    "SpotMarket": accounts_v2.SPOT_MARKET,
    "PythLazerOracle": accounts_v2.LAZER_ORACLE,
}


def read_and_written(shape: Layout, raw: bytes) -> bytes:
    return encoded(shape, decoded(Record(shape, bytearray(raw))))


def test_every_recorded_user_comes_back_byte_for_byte() -> None:
    rows = recorded("drift_v2_user_accounts_base64")
    assert len(rows) == 100
    for row in rows:
        raw = b64decode(row)
        assert raw[:8] == discriminator("account", "User")
        assert read_and_written(accounts_v2.USER, raw) == raw[: accounts_v2.USER.size]


def test_every_recorded_user_stats_come_back_byte_for_byte() -> None:
    rows = recorded("drift_v2_userstats_accounts_base64")
    assert len(rows) == 27
    for row in rows:
        raw = b64decode(row)
        assert raw[:8] == discriminator("account", "UserStats")
        assert read_and_written(accounts_v2.USER_STATS, raw) == raw[: accounts_v2.USER_STATS.size]


def test_recorded_markets_and_oracles_come_back_and_say_their_names() -> None:
    seen = 0
    for row in recorded("drift_v2_market_oracle_user_accounts"):
        shape = LAYOUTS.get(row["kind"])
        if shape is None:
            continue
        raw = b64decode(row["data_base64"])
        assert read_and_written(shape, raw) == raw[: shape.size], row["source"]
        seen += 1
        if row["kind"] == "PerpMarket":
            record = Record(flat(shape), bytearray(raw))
            assert record.raw("name").decode().strip("\0 ") == row["name"]
            assert (record["market_index"], record["last_funding_rate_ts"]) == (
                row["market_index"],
                row["last_funding_rate_ts"],
            )
    assert seen >= 30


def test_the_open_orders_of_recorded_users_are_as_many_as_the_account_says() -> None:
    for row in recorded("drift_v2_user_accounts_base64"):
        user = Record(accounts_v2.USER, bytearray(b64decode(row)))
        assert sum(order["status"] == 1 for order in user.all("orders")) == user["open_orders"]


def test_sizes_are_those_of_the_programs() -> None:
    sizes = [getattr(accounts_v2, name).size for name in ("STATE", "PERP_MARKET", "SPOT_MARKET", "USER", "USER_STATS")]
    assert sizes == [992, 1216, 776, 4376, 240]
    young = [getattr(accounts_velocity, name).size for name in ("STATE", "PERP_MARKET", "SPOT_MARKET", "USER")]
    assert young == [1752, 1304, 808, 4496]


def test_addresses_are_those_of_the_programs() -> None:
    assert to_base58(VELOCITY.state_key) == "2etx5NvPNxeMZ7EfHE6GjJfW2imRYEUANehNS1WB4CVW"
    golden = recorded("svm_golden_drift_2024")
    assert to_base58(DRIFT.perp_market_key(0)) == golden["perp_market"]
    assert to_base58(DRIFT.user_key(key(golden["authority"]))) == golden["user"]


def test_base58_keeps_leading_zeros_and_refuses_other_letters() -> None:
    for raw in (b"", b"\0", b"\0\0\1", bytes(range(32)), b"\xff" * 64):
        assert from_base58(to_base58(raw)) == raw
    with pytest.raises(ValueError, match="not base58"):
        from_base58("0OIl")
    with pytest.raises(ValueError, match="not a key"):
        key("abc")


def test_a_layout_goes_on_from_an_offset_and_refuses_unknown_types() -> None:
    shape = layout("Thing", "first:u16 @8 price:i64 name:b4")
    record = Record(shape, bytearray(shape.size))
    record["price"] = -3
    record.put("name", b"ab")
    assert (shape.size, record["price"], record.raw("name")) == (20, -3, b"ab\0\0")
    with pytest.raises(ValueError, match="holds 4 bytes"):
        record.put("name", b"abcde")
    with pytest.raises(KeyError):
        layout("Thing", "first:f64")


def test_velocitys_user_comes_back_and_its_market_says_what_is_known_of_it() -> None:
    golden = recorded("svm_golden_velocity_202608")
    for step in golden["steps"]:
        raw = b64decode(step["user_after_b64"])
        assert read_and_written(accounts_velocity.USER, raw) == raw
    accounts = golden["initial_accounts_b64"]
    held = accounts[to_base58(VELOCITY.perp_market_key(0))]
    market = Record(VELOCITY.perp_market, bytearray(b64decode(held if isinstance(held, str) else held[0])))
    assert market.raw("name").strip() == b"SOL-PERP"
    assert (market["order_step_size"], market["order_tick_size"]) == (10_000_000, 1_000)
    assert (market["margin_ratio_initial"], market["margin_ratio_maintenance"]) == (500, 300)
    assert (market["contract_tier"], market["status"], market["funding_period"]) == (1, 1, 3600)

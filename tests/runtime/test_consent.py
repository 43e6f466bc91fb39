"""Consent to live trading: what it needs, what it holds, and what makes it void."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from twinleg.runtime.consent import FILE_NAME, ConsentError, accept, caps, missing, recorded, standing
from twinleg.runtime.loopback import on_this_machine
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load

LIGHTER_KEY = "ab" * 40
STARK_KEY = "0x1234567890abcdef"
OTHER_STARK_KEY = "0x1234567890abcdee"
API_KEY = "an-api-key-of-nobody"
HERE = {
    "LIGHTER_BASE_URL": "http://127.0.0.1:9100",
    "EXTENDED_BASE_URL": "http://localhost:9101",
}
KEYS = {
    "LIGHTER_PRIVATE_KEY": LIGHTER_KEY,
    "LIGHTER_ACCOUNT_INDEX": "12345",
    "LIGHTER_API_KEY_INDEX": "5",
    "EXTENDED_API_KEY": API_KEY,
    "EXTENDED_PRIVATE_KEY": STARK_KEY,
    "EXTENDED_VAULT": "10002",
}
CAPS = {"MAX_POSITION_SIZE_USD": "100", "MAX_ORDER_SIZE_USD": "50"}


def settings(folder: Path, **more: str) -> Settings:
    """All that live needs, but for what `more` blanks or changes."""
    given = {**HERE, **KEYS, **CAPS, "TWINLEG_DATA_DIR": str(folder), **more}
    return load(environ=given, read_files=False).settings


def codes(chosen: Settings) -> list[str]:
    return [one.code for one in missing(chosen)]


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:9100", True),
        ("ws://127.200.3.4", True),
        ("http://[::1]:9100", True),
        ("http://LOCALHOST:1", True),
        ("http://127.0.0.1.nip.io", False),
        ("http://localhost.example", False),
        ("http://localhost.", False),
        ("http://127.1", False),
        ("http://0.0.0.0", False),
        ("http://[::ffff:127.0.0.1]", False),
        ("http://10.0.0.1", False),
        ("https://mainnet.zklighter.elliot.ai", False),
        ("http://", False),
        ("http://[::1", False),
    ],
)
def test_this_machine_is_known_by_what_the_address_says(url: str, here: bool) -> None:
    assert on_this_machine(url) is here


def test_consent_once_given_stands(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data")
    assert codes(chosen) == ["live_consent"]
    assert standing(chosen) is None
    given = accept(chosen, 1_700_000_000_000)
    assert standing(chosen) == given
    assert missing(chosen) == []
    assert given.accounts[0].text == "account 12345"
    assert given.accounts[1].vault == 10002
    assert given.caps["max_position_size_usd"] == 50.0, "CONSERVATIVE_MODE halves it"


def test_the_file_is_the_owners_alone_and_holds_no_secret(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data")
    accept(chosen, 1)
    path = tmp_path / "data" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == [FILE_NAME]
    text = path.read_text().lower()
    assert not any(secret.lower().removeprefix("0x") in text for secret in (LIGHTER_KEY, STARK_KEY, API_KEY))


def test_an_old_env_starts_nothing_by_itself(tmp_path: Path) -> None:
    old = {"TRADING_MODE": "live", "AUTO_EXECUTION_ENABLED": "true", "LIGHTER_BASE_URL": "", "EXTENDED_BASE_URL": ""}
    chosen = settings(tmp_path, **old, MAX_POSITION_SIZE_USD="", MAX_ORDER_SIZE_USD="")
    assert codes(chosen) == ["live_address"] * 4 + ["live_caps"] * 2 + ["live_consent"]
    with pytest.raises(ConsentError, match="not enabled in this version"):
        accept(chosen, 1)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"EXTENDED_API_KEY": "", "EXTENDED_PRIVATE_KEY": "", "EXTENDED_VAULT": ""}, "live_keys", "only lighter has"),
        (dict.fromkeys(KEYS, ""), "live_keys", "no venue has"),
        ({"EXTENDED_PUBLIC_KEY": "0x1"}, "live_keys", "is not the private key's"),
        ({"LIGHTER_WS_URL": "ws://127.0.0.1.example/stream"}, "live_address", "lighter is at ws://127.0.0.1.example"),
        ({"EXTENDED_STREAM_URL": "wss://real.example"}, "live_address", "extended is at wss://real.example"),
        ({"MAX_POSITION_SIZE_USD": ""}, "live_caps", "MAX_POSITION_SIZE_USD is not given"),
        ({"MAX_ORDER_SIZE_USD": ""}, "live_caps", "MAX_ORDER_SIZE_USD is not given"),
    ],
)
def test_what_must_be_there(tmp_path: Path, changed: dict[str, str], code: str, words: str) -> None:
    (first, *_) = missing(settings(tmp_path, **changed))
    assert first.code == code
    assert words in first.detail
    assert LIGHTER_KEY not in first.detail
    assert STARK_KEY not in first.detail


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"LIGHTER_ACCOUNT_INDEX": "12346"}, "account 12346"),
        ({"LIGHTER_BASE_URL": "http://127.0.0.1:9200"}, "lighter at http://127.0.0.1:9200"),
        ({"EXTENDED_PRIVATE_KEY": OTHER_STARK_KEY}, "vault 10002, public key 0x"),
        ({"EXTENDED_VAULT": "10003"}, "vault 10003"),
        ({"MAX_POSITION_SIZE_USD": "101"}, "max_position_size_usd is 50.5 in effect, agreed was 50"),
        ({"MAX_ORDER_SIZE_USD": "51"}, "max_order_size_usd"),
        ({"MAX_TOTAL_EXPOSURE_USD": "2001"}, "max_total_exposure_usd"),
        ({"CONSERVATIVE_MODE": "false"}, "agreed was"),
        ({"TWINLEG_LEVERAGE": "4"}, "leverage is 4"),
        ({"MAX_SLIPPAGE_BPS": "51"}, "max_slippage_bps"),
        ({"TWINLEG_FLATTEN_SLIPPAGE_BPS_MAX": "201"}, "flatten_slippage_bps_max"),
        ({"TWINLEG_UNHEDGED_NOTIONAL_MAX_USD": "251"}, "unhedged_notional_max_usd"),
        ({"TWINLEG_UNHEDGED_MS_MAX": "3001"}, "unhedged_ms_max"),
        ({"MAX_CONCURRENT_ARBITRAGE_GROUPS": "6"}, "max_concurrent_arbitrage_groups"),
    ],
)
def test_another_account_or_a_larger_cap_makes_it_void(tmp_path: Path, changed: dict[str, str], words: str) -> None:
    accept(settings(tmp_path), 1)
    chosen = settings(tmp_path, **changed)
    assert set(codes(chosen)) == {"live_consent_void"}
    assert words in missing(chosen)[0].detail
    assert standing(chosen) is None
    accept(chosen, 2)
    assert missing(chosen) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"MAX_POSITION_SIZE_USD": "99", "MAX_ORDER_SIZE_USD": "49", "TWINLEG_LEVERAGE": "2"},
        {"EXTENDED_VAULT": "0"},
        {"LOG_LEVEL": "DEBUG"},
        {"EXTENDED_API_KEY": "a-new-key-of-the-same-account"},
    ],
)
def test_what_is_not_more_than_was_agreed_keeps_it(tmp_path: Path, changed: dict[str, str]) -> None:
    accept(settings(tmp_path), 1)
    assert missing(settings(tmp_path, **changed)) == []


def test_an_assets_own_caps_count(tmp_path: Path) -> None:
    def own(**limits: float) -> Settings:
        return settings(tmp_path).model_copy(update={"assets": Settings(assets={"BTC": limits}).assets})

    plain = settings(tmp_path)
    accept(plain, 1)
    assert missing(own(max_position_size_usd=80.0)) == []
    grown = missing(own(max_position_size_usd=120.0))
    assert [one.detail.partition(" is")[0] for one in grown] == ["assets.BTC.max_position_size_usd"]
    accept(own(max_position_size_usd=80.0), 2)
    assert caps(own(max_position_size_usd=80.0))["assets.BTC.max_position_size_usd"] == 40.0
    assert [one.code for one in missing(plain)] == ["live_consent_void"], "its own smaller cap is gone"


@pytest.mark.parametrize("damage", ["garbage", "{}", '{"at_ms":1}', None])
def test_a_file_that_cannot_be_believed_is_no_consent(tmp_path: Path, damage: str | None) -> None:
    chosen = settings(tmp_path)
    accept(chosen, 1)
    path = tmp_path / FILE_NAME
    if damage is None:
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "more": 1}))
    else:
        path.write_text(damage)
    assert codes(chosen) == ["live_consent"]
    assert standing(chosen) is None


def test_a_file_that_others_may_write_is_no_consent(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    accept(chosen, 1)
    (tmp_path / FILE_NAME).chmod(0o620)
    (found,) = missing(chosen)
    assert "others may write" in found.detail
    (tmp_path / FILE_NAME).chmod(0o600)
    assert missing(chosen) == []


def test_an_attempt_that_was_cut_short_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.new").write_text("half")
    chosen = settings(tmp_path)
    given = accept(chosen, 7)
    assert recorded(chosen) == given

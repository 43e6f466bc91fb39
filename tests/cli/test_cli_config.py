"""`config show` and `live`: what is set, what holds, what is agreed to; and never a secret."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_process import environment, twinleg

from twinleg.cli.config import ConfigAnswer
from twinleg.cli.consenting import LiveAnswer
from twinleg.cli.exits import BAD_CONFIGURATION, OK, REFUSED
from twinleg.runtime.consent import FILE_NAME
from twinleg.runtime.settings_docs import NOT_YET, describe

SECRETS = {
    "LIGHTER_PRIVATE_KEY": "c0ffee" * 13 + "99",
    "EXTENDED_API_KEY": "a-very-secret-api-key",
    "EXTENDED_PRIVATE_KEY": "0x7e57ab1e7e57ab1e",
    "ETH_PRIVATE_KEY": "beef" * 16,
}
KEYS = {**SECRETS, "LIGHTER_ACCOUNT_INDEX": "77", "LIGHTER_API_KEY_INDEX": "5"}
HERE = {"LIGHTER_BASE_URL": "http://127.0.0.1:1", "EXTENDED_BASE_URL": "http://127.0.0.1:2"}
CAPS = {"MAX_POSITION_SIZE_USD": "100", "MAX_ORDER_SIZE_USD": "100"}
ALL = {**KEYS, **HERE, **CAPS}


def shown(folder: Path, **named: str) -> dict[str, Any]:
    done = twinleg(folder, "config", "show", "--json", **named)
    assert done.returncode == OK, done.stderr
    answer = msgspec.json.decode(done.stdout, type=ConfigAnswer, strict=True)
    return {one.name: one for one in answer.settings}


def silent_about(text: str) -> bool:
    return not any(secret.removeprefix("0x") in text for secret in SECRETS.values())


def test_every_setting_is_shown_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# mine\nMAX_ORDER_SIZE_USD=200\nTWINLEG_LIGHTER_KEY_6=" + "ab" * 40 + "\nNOISE=1\n", encoding="utf-8"
    )
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / "twinleg.toml").write_text(
        'deny = ["LUNA"]\npairs = [["lighter", "extended"]]\n[assets.BTC]\nmax_order_size_usd = 1000\nleverage = 2\n',
        encoding="utf-8",
    )
    found = shown(tmp_path, LOG_LEVEL="debug")
    assert {*found} - {"assets.BTC.max_order_size_usd", "assets.BTC.leverage"} == {
        one.name for one in describe() if one.field != "assets"
    }
    size = found["MAX_ORDER_SIZE_USD"]
    assert (size.value, size.effective, size.why) == ("200", "100", "CONSERVATIVE_MODE")
    assert size.origin.endswith(".env, line 2")
    assert (found["LOG_LEVEL"].value, found["LOG_LEVEL"].origin) == ("DEBUG", "environment")
    assert (found["MAX_SLIPPAGE_BPS"].origin, found["MAX_SLIPPAGE_BPS"].effective) == ("default", None)
    assert found["MIN_EXECUTION_SPREAD_BPS"].effective == "10"
    assert (found["deny"].value, found["pairs"].value) == ("LUNA", "lighter/extended")
    own = found["assets.BTC.max_order_size_usd"]
    assert (own.value, own.effective) == ("1000", "500")
    assert own.origin.endswith("twinleg.toml")
    assert found["assets.BTC.leverage"].effective is None
    assert found["TWINLEG_LIGHTER_KEY_<slot>"].value == "set for slots 6"
    assert {one.name for one in describe() if one.field in NOT_YET} == {
        name for name, one in found.items() if not one.has_effect
    }


def test_what_is_not_conservative_holds_as_it_is(tmp_path: Path) -> None:
    found = shown(tmp_path, CONSERVATIVE_MODE="false", TWINLEG_NETWORK="testnet")
    assert found["MAX_ORDER_SIZE_USD"].effective is None
    assert found["LIGHTER_BASE_URL"].effective == "https://testnet.zklighter.elliot.ai"
    assert found["LIGHTER_BASE_URL"].why == "TWINLEG_NETWORK=testnet"
    assert found["EXTENDED_STREAM_URL"].effective == "wss://api.starknet.sepolia.extended.exchange"


@pytest.mark.parametrize("command", [["config", "show"], ["config", "show", "--json"], ["live"], ["live", "--json"]])
def test_secrets_are_set_or_not_and_never_shown(tmp_path: Path, command: list[str]) -> None:
    done = twinleg(tmp_path, *command, **ALL)
    assert done.returncode == OK
    assert silent_about(done.stdout + done.stderr)


def test_secrets_are_said_to_be_set(tmp_path: Path) -> None:
    found = shown(tmp_path, **ALL)
    assert {found[name].value for name in SECRETS} == {"set"}
    assert found["DRIFT_PRIVATE_KEY"].value == "not set"


def test_wrong_settings_are_not_shown(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "config", "show", LOG_LEVEL="loud")
    assert (done.returncode, done.stdout) == (BAD_CONFIGURATION, "")


def test_live_is_shown_and_then_agreed_to(tmp_path: Path) -> None:
    before = msgspec.json.decode(twinleg(tmp_path, "live", "--json", **ALL).stdout, type=LiveAnswer, strict=True)
    assert ([one.code for one in before.missing], before.standing) == (["live_consent"], False)
    assert not (tmp_path / "data").exists(), "looking writes nothing"
    done = twinleg(tmp_path, "live", "--accept", **ALL)
    assert done.returncode == OK, done.stderr
    assert silent_about(done.stdout)
    for said in ("account 77", "public key 0x", "max_position_size_usd", "it stands", "Nothing keeps"):
        assert said in done.stdout
    path = tmp_path / "data" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    after = msgspec.json.decode(twinleg(tmp_path, "live", "--json", **ALL).stdout, type=LiveAnswer)
    assert (after.missing, after.standing) == ((), True)
    cap = next(one for one in after.caps if one.name == "max_position_size_usd")
    assert (cap.given, cap.effective, cap.accepted) == (100.0, 50.0, 50.0)
    assert next(one.given for one in after.caps if one.name == "leverage") is None, "nobody gave it"
    grown = twinleg(tmp_path, "live", **{**ALL, "MAX_POSITION_SIZE_USD": "110"})
    assert "it is void" in grown.stdout
    assert "max_position_size_usd is 55 in effect, agreed was 50" in grown.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"LIGHTER_BASE_URL": ""}, "not enabled in this version"),
        ({"MAX_ORDER_SIZE_USD": ""}, "MAX_ORDER_SIZE_USD is not given"),
        (dict.fromkeys(KEYS, ""), "no venue has"),
    ],
)
def test_consent_is_refused_while_anything_is_missing(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    done = twinleg(tmp_path, "live", "--accept", **{**ALL, **changed})
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert said in done.stderr
    assert not (tmp_path / "data").exists()


def test_consent_that_cannot_be_written(tmp_path: Path) -> None:
    done = twinleg(tmp_path, "live", "--accept", **{**ALL, "TWINLEG_DATA_DIR": "/dev/null/data"})
    assert (done.returncode, done.stdout) == (BAD_CONFIGURATION, "")
    assert "was not recorded" in done.stderr


def test_config_and_live_need_no_network(tmp_path: Path) -> None:
    assert "LIGHTER_BASE_URL" not in environment()
    assert json.loads(twinleg(tmp_path, "live", "--json").stdout)["accounts"] == []

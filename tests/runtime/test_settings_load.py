"""Reading settings as users give them: order of sources, aliases, and every error at once."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from twinleg.runtime.secret import Secret
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_docs import describe
from twinleg.runtime.settings_load import Loaded, SettingsError, checkout, load

LIGHTER_KEY = "ab" * 40
OTHER_KEY = "cd" * 40
LIGHTER = {"LIGHTER_PRIVATE_KEY": LIGHTER_KEY, "LIGHTER_ACCOUNT_INDEX": "0", "LIGHTER_API_KEY_INDEX": "4"}
EXTENDED = {"EXTENDED_API_KEY": "b5a7c0de", "EXTENDED_PRIVATE_KEY": "0x1f"}


def read(environ: dict[str, str], folder: Path, dotenv: str = "", toml: str = "") -> Loaded:
    # Both files are always written, so that none from the checkout is found.
    (folder / ".env").write_text(dotenv)
    (folder / ".env").chmod(0o600)
    (folder / "twinleg.toml").write_text(toml)
    return load(environ, working_directory=folder)


def problems(environ: dict[str, str], folder: Path, dotenv: str = "", toml: str = "") -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        read(environ, folder, dotenv, toml)
    assert str(caught.value).startswith(f"{len(caught.value.findings)} problem")
    return {finding.name: str(finding) for finding in caught.value.findings}


def test_nothing_given_is_every_default(tmp_path: Path) -> None:
    loaded = read({"PATH": "/bin", "UNRELATED": "1"}, tmp_path)
    assert loaded == Loaded(settings=Settings(), warnings=(), ignored=(), origins={})


def test_environment_then_dotenv_then_toml(tmp_path: Path) -> None:
    loaded = read(
        {"MAX_SLIPPAGE_BPS": "1", "MAX_ORDER_SIZE_USD": ""},
        tmp_path,
        "MAX_SLIPPAGE_BPS=2\nMAX_ORDER_SIZE_USD=200  # small\nMIN_ORDER_SIZE_USD=\n",
        "MAX_SLIPPAGE_BPS = 3\nMIN_ORDER_SIZE_USD = 30\nTWINLEG_PORT = 9000\n",
    )
    settings = loaded.settings
    assert (settings.max_slippage_bps, settings.max_order_size_usd) == (1, 200)
    assert (settings.min_order_size_usd, settings.port) == (30, 9000)
    assert loaded.origins["max_order_size_usd"] == f"{tmp_path / '.env'}, line 2"
    assert settings.given("port")
    assert not settings.given("host")


def test_the_command_line_comes_first(tmp_path: Path) -> None:
    loaded = load({"TWINLEG_PORT": "1"}, working_directory=tmp_path, overrides={"TWINLEG_PORT": "2"}, read_files=False)
    assert loaded.settings.port == 2
    assert loaded.origins == {"port": "command line"}


def test_a_verbatim_env_file_of_docker_works(tmp_path: Path) -> None:
    assert read({"DRIFT_ENV": "mainnet  # or devnet"}, tmp_path).settings.drift_env == "mainnet"


def test_zero_is_a_value(tmp_path: Path) -> None:
    settings = read({**LIGHTER, "LIGHTER_API_KEY_INDEX": "0", "DRIFT_SUB_ACCOUNT_ID": "0"}, tmp_path).settings
    assert settings.lighter_account_index == settings.lighter_api_key_index == 0
    assert settings.given("drift_sub_account_id")


CHECKED = [(s.name, name) for s in describe() if not s.in_toml and not s.family for name in (s.name, *s.aliases)]
UNCHECKED = {"TWINLEG_DATA_DIR": "data_dir", "TWINLEG_LOG_DIR": "log_dir", "TWINLEG_PASSPHRASE_FILE": "passphrase_file"}
"""Any text is a path."""


@pytest.mark.parametrize(("name", "alias"), [pair for pair in CHECKED if pair[0] not in UNCHECKED])
def test_every_name_and_alias_is_read(name: str, alias: str, tmp_path: Path) -> None:
    assert name in problems({alias: "\N{SNOWMAN} \N{SNOWMAN}"}, tmp_path)


def test_paths_are_read(tmp_path: Path) -> None:
    settings = read(dict.fromkeys(UNCHECKED, "~/here"), tmp_path).settings
    assert {getattr(settings, field) for field in UNCHECKED.values()} == {Path.home() / "here"}


def test_aliases_mean_the_same(tmp_path: Path) -> None:
    for alias in ("LIGHTER_PRIVATE_KEY", "LIGHTER_API_PRIVATE_KEY", "API_KEY_PRIVATE_KEY"):
        environ = {alias: "0x" + LIGHTER_KEY, "LIGHTER_ACCOUNT_INDEX": "7", "LIGHTER_API_KEY_INDEX": "4"}
        assert read(environ, tmp_path).settings.lighter_private_key == Secret(LIGHTER_KEY)
    environ = {**EXTENDED, "EXTENDED_STARK_KEY_PUBLIC": "0x2a"}
    environ["EXTENDED_STARK_KEY_PRIVATE"] = environ.pop("EXTENDED_PRIVATE_KEY")
    settings = read(environ, tmp_path).settings
    assert (settings.extended_private_key, settings.extended_public_key) == (Secret("1f"), "0x2a")
    assert read({"TRADING_MODE": "live_trading"}, tmp_path).settings.trading_mode == "live"


def test_aliases_that_differ_in_one_source_are_an_error(tmp_path: Path) -> None:
    found = problems({**LIGHTER, "API_KEY_PRIVATE_KEY": OTHER_KEY}, tmp_path)
    assert "LIGHTER_PRIVATE_KEY" in found["API_KEY_PRIVATE_KEY"]
    assert read({**LIGHTER, "API_KEY_PRIVATE_KEY": LIGHTER_KEY}, tmp_path).settings.lighter_private_key


def test_a_nearer_source_wins_over_another_alias(tmp_path: Path) -> None:
    loaded = read({**LIGHTER}, tmp_path, f"API_KEY_PRIVATE_KEY={OTHER_KEY}\n")
    assert loaded.settings.lighter_private_key == Secret(LIGHTER_KEY)


def test_all_errors_are_reported_together(tmp_path: Path) -> None:
    found = problems(
        {"TRADING_MODE": "lively", "MAX_SLIPPAGE_BPS": "many", "TWINLEG_TYPO": "1", "LIGHTER_ACCOUNT_INDEX": "1"},
        tmp_path,
        "TRADING_MOD=live\nnot a line\nMIN_MARGIN_RATIO=0.01\n",
        'allow = "BTC"\nmax_x = 1\n[assets.BTC]\nleverage = 2000\nlever = 1\n',
    )
    assert set(found) == {
        "TRADING_MODE",
        "MAX_SLIPPAGE_BPS",
        "TWINLEG_TYPO",
        "LIGHTER_PRIVATE_KEY",
        "LIGHTER_API_KEY_INDEX",
        "TRADING_MOD",
        ".env",
        "EMERGENCY_MARGIN_RATIO",
        "allow",
        "assets.BTC.leverage",
        "assets.BTC.lever",
    }
    assert "remove it to get the default, 50" in found["MAX_SLIPPAGE_BPS"]
    assert "dry_run (or paper_trading)" in found["TRADING_MODE"]


def test_no_error_shows_what_was_given(tmp_path: Path) -> None:
    names = [setting.name.replace("<slot>", "9") for setting in describe() if not setting.in_toml]
    marker = "c0ffee!c0ffee c0ffee"
    with pytest.raises(SettingsError) as caught:
        read(dict.fromkeys(names, marker), tmp_path, "".join(f"{name}={marker}{marker}\n" for name in names))
    assert len(caught.value.findings) > 80
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value.findings)
    assert "c0ffee" not in text


def test_secrets_do_not_show_in_the_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rpc = {"DRIFT_RPC_URL": "https://rpc.example/?api-key=5ec7e7", "DRIFT_PRIVATE_KEY": "5" * 88}
    slots = {"LIGHTER_MAX_API_KEY_INDEX": "5", "TWINLEG_LIGHTER_KEY_5": OTHER_KEY}
    eth = {"ETH_PRIVATE_KEY": "12" * 32}
    environ = {**LIGHTER, **EXTENDED, **rpc, **slots, **eth}
    loaded = read(environ, tmp_path)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", loaded, loaded)
    shown = caplog.text + repr(loaded) + str(loaded.settings.model_dump()) + loaded.settings.model_dump_json()
    for name in ("LIGHTER_PRIVATE_KEY", "EXTENDED_API_KEY", *rpc, "TWINLEG_LIGHTER_KEY_5", *eth):
        assert environ[name] not in shown
    assert loaded.settings.lighter_keys[5] == Secret(OTHER_KEY)


@pytest.mark.parametrize("missing", LIGHTER)
def test_half_of_lighters_credentials_names_the_rest(missing: str, tmp_path: Path) -> None:
    given = {name: value for name, value in LIGHTER.items() if name != missing}
    found = problems(given, tmp_path)
    assert set(found) == {missing}
    assert all(name in found[missing] for name in given)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"EXTENDED_API_KEY": "b5a7c0de"}, {"EXTENDED_PRIVATE_KEY"}),
        ({"EXTENDED_PRIVATE_KEY": "1f"}, {"EXTENDED_API_KEY"}),
        ({"EXTENDED_VAULT": "7"}, {"EXTENDED_API_KEY", "EXTENDED_PRIVATE_KEY"}),
        ({"EXTENDED_PUBLIC_KEY": "1f"}, {"EXTENDED_API_KEY", "EXTENDED_PRIVATE_KEY"}),
        ({"DRIFT_PRIVATE_KEY": "5" * 88}, {"DRIFT_RPC_URL"}),
    ],
)
def test_half_a_set_names_the_rest(given: dict[str, str], missing: set[str], tmp_path: Path) -> None:
    assert set(problems(given, tmp_path)) == missing


def test_whole_sets_and_none_are_fine(tmp_path: Path) -> None:
    for given in ({}, LIGHTER, EXTENDED, {"EXTENDED_VAULT": "0"}, {"DRIFT_RPC_URL": "https://rpc.example"}):
        read(given, tmp_path)


def test_a_slots_own_key_completes_the_set(tmp_path: Path) -> None:
    slot = {"LIGHTER_ACCOUNT_INDEX": "0", "LIGHTER_API_KEY_INDEX": "4", "TWINLEG_LIGHTER_KEY_4": LIGHTER_KEY}
    assert read(slot, tmp_path).settings.lighter_keys[4] == Secret(LIGHTER_KEY)
    assert set(problems({**slot, "LIGHTER_PRIVATE_KEY": OTHER_KEY}, tmp_path)) == {"TWINLEG_LIGHTER_KEY_4"}


def test_a_range_of_slots_needs_every_key(tmp_path: Path) -> None:
    environ = {**LIGHTER, "LIGHTER_MAX_API_KEY_INDEX": "7", "TWINLEG_LIGHTER_KEY_6": OTHER_KEY}
    assert set(problems(environ, tmp_path)) == {"TWINLEG_LIGHTER_KEY_5", "TWINLEG_LIGHTER_KEY_7"}
    below = {**LIGHTER, "LIGHTER_MAX_API_KEY_INDEX": "3"}
    assert set(problems(below, tmp_path)) == {"LIGHTER_MAX_API_KEY_INDEX"}
    assert set(problems({"TWINLEG_LIGHTER_KEY_300": OTHER_KEY}, tmp_path)) == {"TWINLEG_LIGHTER_KEY_300"}


def test_secrets_in_toml_are_refused(tmp_path: Path) -> None:
    found = problems({}, tmp_path, toml=f'ETH_PRIVATE_KEY = "{"12" * 32}"\nTWINLEG_LIGHTER_KEY_5 = "{OTHER_KEY}"\n')
    assert set(found) == {"ETH_PRIVATE_KEY", "TWINLEG_LIGHTER_KEY_5"}


def test_conservative_mode_may_not_push_the_largest_order_below_the_smallest(tmp_path: Path) -> None:
    given = {"MAX_ORDER_SIZE_USD": "15"}
    assert "CONSERVATIVE_MODE halves" in problems(given, tmp_path)["MIN_ORDER_SIZE_USD"]
    assert read({**given, "CONSERVATIVE_MODE": "no"}, tmp_path).settings.max_order_size_usd == 15


def test_structured_settings(tmp_path: Path) -> None:
    toml = 'allow = ["BTC"]\npairs = [["lighter", "extended"]]\n[assets.BTC]\nleverage = 2\n'
    settings = read({}, tmp_path, toml=toml).settings
    assert (settings.allow, settings.pairs, settings.assets["BTC"].leverage) == (
        ("BTC",),
        (("lighter", "extended"),),
        2,
    )
    assert set(problems({}, tmp_path, toml='pairs = [["lighter", "binance"]]\n')) == {"pairs.0.1"}


def test_unknown_names_are_listed_once(tmp_path: Path) -> None:
    loaded = read({"ELSEWHERE": "1"}, tmp_path, "MY_BOT=1\n", "MY_BOT = 1\nanother = 2\n")
    assert loaded.ignored == ("MY_BOT", "another")


def test_warnings(tmp_path: Path) -> None:
    app_slot = read({**LIGHTER, "LIGHTER_API_KEY_INDEX": "3"}, tmp_path)
    assert "LIGHTER_API_KEY_INDEX" in app_slot.warnings[0]
    testnet = read({"TWINLEG_NETWORK": "testnet", "EXTENDED_MAINNET_URL": "https://host"}, tmp_path)
    assert "EXTENDED_MAINNET_URL" in testnet.warnings[0]
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in EXTENDED.items()))
    (tmp_path / ".env").chmod(0o644)
    (warning,) = load({}, working_directory=tmp_path).warnings
    assert "chmod 600" in warning


def test_the_checkout_is_found() -> None:
    folder = checkout()
    assert folder is not None
    assert (folder / "pyproject.toml").is_file()

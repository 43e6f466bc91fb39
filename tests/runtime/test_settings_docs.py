"""The documents are what the code says, and say something about every setting."""

from __future__ import annotations

import re
from pathlib import Path

from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_docs import NOT_YET, SECTIONS, describe, env_example, settings_page
from twinleg.runtime.settings_load import load

ROOT = Path(__file__).parents[2]


def test_the_documents_are_up_to_date() -> None:
    assert (ROOT / ".env.example").read_text() == env_example(), "run: make docs"
    assert (ROOT / "docs" / "SETTINGS.md").read_text() == settings_page(), "run: make docs"


def test_settings_that_nothing_reads_are_said_to_have_no_effect() -> None:
    rooms = [path for path in (ROOT / "src/twinleg").rglob("*.py") if not path.name.startswith("settings")]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in rooms)))
    unread = Settings.model_fields.keys() - words
    indirect = {"lighter_base_url", "lighter_ws_url", "extended_base_url", "extended_stream_url"}  # in *_endpoints()
    indirect |= {"extended_mainnet_url", "extended_mainnet_stream_url", "conservative_mode"}  # in effective_limits()
    indirect |= {"allow", "deny", "pairs", "assets"}  # in trades_asset(), trades_pair(), effective_limits()
    assert unread - indirect == NOT_YET - words
    read = {name for name in NOT_YET - {"host", "port"} if name in words}
    assert not read, f"they have an effect now: take them out of NOT_YET, then make docs: {sorted(read)}"


def test_every_setting_is_in_them_with_its_default() -> None:
    lines = dict(re.findall(r"^#([A-Z][A-Z0-9_]*(?:<slot>)?)=(.*?)  # ", env_example(), re.MULTILINE))
    assert list(lines) == [setting.name for setting in describe() if not setting.in_toml]
    page = settings_page()
    for setting in describe():
        assert f"| `{setting.name}`" in page
        if not setting.in_toml and not setting.default.startswith("derived"):
            assert lines[setting.name] == setting.default


def test_the_example_uncommented_is_the_defaults(tmp_path: Path) -> None:
    text = re.sub(r"^#([A-Z][A-Z0-9_]*=)", r"\1", env_example(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(text)
    (tmp_path / "twinleg.toml").touch()
    loaded = load({}, working_directory=tmp_path)
    assert loaded.settings == Settings()
    assert loaded.ignored == ()
    assert loaded.settings.given("trading_mode")


def test_sections_and_words() -> None:
    fields = [setting.field for setting in describe()]
    assert [field for field in fields if field in SECTIONS] == list(SECTIONS)
    assert all(setting.kind and setting.meaning and not setting.meaning.endswith(".") for setting in describe())
    names = [name for setting in describe() for name in (setting.name, *setting.aliases)]
    assert len(names) == len(set(names))


def test_secrets_are_marked() -> None:
    assert {setting.name for setting in describe() if setting.secret} == {
        "DRIFT_RPC_URL",
        "DRIFT_PRIVATE_KEY",
        "LIGHTER_PRIVATE_KEY",
        "TWINLEG_LIGHTER_KEY_<slot>",
        "EXTENDED_API_KEY",
        "EXTENDED_PRIVATE_KEY",
        "ETH_PRIVATE_KEY",
    }

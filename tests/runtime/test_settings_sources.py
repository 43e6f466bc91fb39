"""Reading values: comments, quotes, blanks, bad files and near misses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinleg.runtime.settings_sources import (
    FILE_BYTES_MAX,
    TYPO_EDITS_MAX,
    clean,
    dotenv_layer,
    edits,
    environment_layer,
    find_file,
    nearest,
    toml_layer,
    unknown_names,
)

KNOWN = ("LIGHTER_BASE_URL", "TRADING_MODE", "TWINLEG_PORT")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("mainnet  # or devnet", "mainnet"),
        ("mainnet\t# or devnet", "mainnet"),
        ("  mainnet ", "mainnet"),
        ('"mainnet"', "mainnet"),
        ("'mainnet'  # or devnet", "mainnet"),
        ('"a # b"', "a # b"),
        ('"a # b" # c "d"', "a # b"),
        ("it's", "it's"),
        ('"', '"'),
        ("https://host/#/path", "https://host/#/path"),
        ("pass#word", "pass#word"),
        ("#nospace", "#nospace"),
        ("# only a comment", ""),
        ("   # only a comment", ""),
        ("#", ""),
        ('""', ""),
        ("''  # empty", ""),
        ("", ""),
        ("[1, 2, 3]", "[1, 2, 3]"),
        ("0", "0"),
        ("value\r", "value"),
    ],
)
def test_clean(raw: str, value: str) -> None:
    assert clean(raw) == value


@given(st.text())
def test_clean_never_fails_and_is_stable_without_quotes(text: str) -> None:
    once = clean(text)
    if not {"'", '"'} & set(once):
        assert clean(once) == once or "#" in once


def test_dotenv_reads_what_people_write(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbf# head\r\nA=1\r\n\r\nexport B = 'two' # note\r\nC=\r\nD=x=y\r\n")
    layer = dotenv_layer(path)
    assert {name: found.value for name, found in layer.values.items()} == {"A": "1", "B": "two", "D": "x=y"}
    assert layer.findings == ()
    assert layer.values["D"].origin == f"{path}, line 6"


def test_dotenv_names_the_line_and_never_its_text(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\n0xdeadbeef\nbad name=0xdeadbeef\nA=1\nA=2\n")
    layer = dotenv_layer(path)
    shown = [str(finding) for finding in layer.findings]
    assert len(shown) == 3
    assert f"{path}, line 2" in shown[0]
    assert f"{path}, line 3" in shown[1]
    assert f"{path}, line 5" in shown[2]
    assert "line 4" in shown[2]
    assert not [text for text in shown if "deadbeef" in text]


def test_files_that_cannot_be_read_are_findings(tmp_path: Path) -> None:
    binary, large, folder = tmp_path / "binary", tmp_path / "large", tmp_path / "folder"
    binary.write_bytes(b"A=\xff\xfe")
    large.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    folder.mkdir()
    for path, word in ((binary, "UTF-8"), (large, "larger"), (folder, "cannot be read")):
        for layer in (dotenv_layer(path), toml_layer(path)):
            assert len(layer.findings) == 1
            assert word in str(layer.findings[0])
            assert not layer.values


def test_toml_keeps_types_and_points_at_errors(tmp_path: Path) -> None:
    path = tmp_path / "twinleg.toml"
    path.write_text('TWINLEG_PORT = 9000\nallow = ["BTC"]\n')
    assert {name: found.value for name, found in toml_layer(path).values.items()} == {
        "TWINLEG_PORT": 9000,
        "allow": ["BTC"],
    }
    path.write_text("KEY = deadbeef\n")
    (finding,) = toml_layer(path).findings
    assert "line 1" in str(finding)
    assert "deadbeef" not in str(finding)


def test_the_working_directory_comes_before_the_checkout(tmp_path: Path) -> None:
    here, checkout = tmp_path / "here", tmp_path / "checkout"
    here.mkdir()
    checkout.mkdir()
    assert find_file(".env", here, checkout) is None
    (checkout / ".env").touch()
    assert find_file(".env", here, checkout) == checkout / ".env"
    (here / ".env").touch()
    assert find_file(".env", here, checkout) == here / ".env"
    assert find_file(".env", checkout.parent, None) is None


def test_near_misses_are_errors_only_where_names_are_meant_for_us(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("TRADING_MOD=live\nOTHER=1\nTWINLEG_NONSENSE=1\nTWINLEG_LIGHTER_KEY_7=x\nTRADING_MODE=live\n")
    findings, ignored = unknown_names(dotenv_layer(path), KNOWN)
    assert [finding.name for finding in findings] == ["TRADING_MOD", "TWINLEG_NONSENSE"]
    assert "Write TRADING_MODE" in str(findings[0])
    assert ignored == ["OTHER"]
    environment = environment_layer({"TRADING_MOD": "live", "OTHER": "1", "TWINLEG_PORTT": "1", "TWINLEG_ODD": "1"})
    findings, ignored = unknown_names(environment, KNOWN)
    assert [finding.name for finding in findings] == ["TWINLEG_PORTT", "TWINLEG_ODD"]
    assert "Write TWINLEG_PORT" in str(findings[0])
    assert ignored == []


@pytest.mark.parametrize("name", ["TRADING_MODES", "TRADING_MDOE", "trading_mode", "TRADINGMODE", "RADING_MOD"])
def test_nearest_finds(name: str) -> None:
    assert nearest(name, KNOWN) == "TRADING_MODE"


@pytest.mark.parametrize("name", ["TRADING", "MODE", "TRADER_NODES", "", "PATH"])
def test_nearest_does_not_guess(name: str) -> None:
    assert nearest(name, KNOWN) is None


def slow_edits(one: str, other: str) -> int:
    """Levenshtein's distance straight from its definition."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return slow_edits(one[1:], other[1:])
    return 1 + min(slow_edits(one[1:], other), slow_edits(one, other[1:]), slow_edits(one[1:], other[1:]))


@given(st.text("AB", max_size=6), st.text("AB", max_size=6))
def test_edits_is_the_distance_up_to_its_bound(one: str, other: str) -> None:
    assert edits(one, other) == min(slow_edits(one, other), TYPO_EDITS_MAX + 1) or (
        edits(one, other) > TYPO_EDITS_MAX and slow_edits(one, other) > TYPO_EDITS_MAX
    )

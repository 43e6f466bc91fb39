"""Each kind of value: what is accepted, how it is normalised, and that nothing given is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from twinleg.runtime import settings_fields as kinds
from twinleg.runtime.secret import Secret


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("given_text", "base"),
    [
        ("https://mainnet.zklighter.elliot.ai", "https://mainnet.zklighter.elliot.ai"),
        ("https://mainnet.zklighter.elliot.ai/", "https://mainnet.zklighter.elliot.ai"),
        ("https://mainnet.zklighter.elliot.ai/api/v1/", "https://mainnet.zklighter.elliot.ai"),
        ("HTTPS://API.Starknet.Extended.Exchange/api/v1", "https://api.starknet.extended.exchange"),
        ("http://127.0.0.1:9100/api", "http://127.0.0.1:9100"),
        ("http://[::1]:9100", "http://[::1]:9100"),
        ("https://proxy.example/Lighter/api/v1", "https://proxy.example/Lighter"),
    ],
)
def test_http_bases(given_text: str, base: str) -> None:
    assert read(kinds.HttpBase, given_text) == base
    assert read(kinds.HttpBase, base) == base


@pytest.mark.parametrize(
    ("given_text", "base"),
    [
        ("wss://mainnet.zklighter.elliot.ai/stream", "wss://mainnet.zklighter.elliot.ai"),
        ("wss://api.starknet.extended.exchange/stream.extended.exchange/v1/", "wss://api.starknet.extended.exchange"),
        ("ws://127.0.0.1:9100", "ws://127.0.0.1:9100"),
    ],
)
def test_stream_bases(given_text: str, base: str) -> None:
    assert read(kinds.WsBase, given_text) == base


@pytest.mark.parametrize(
    "text",
    [
        "mainnet.zklighter.elliot.ai",
        "ftp://host",
        "wss://host",
        "https://",
        "https://user:hunter2@host",
        "https://host?key=hunter2",
        "https://host#hunter2",
        "https://host:hunter2",
        "https://host:99999",
        "https://host:0",
        "https://[hunter2",
        "https://ho st",
        "https://host\x00",
        "",
    ],
)
def test_bad_bases_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(kinds.HttpBase, text)
    assert "hunter2" not in str(caught.value.errors(include_input=False, include_url=False))


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        (kinds.LighterKey, "0x" + "Ab" * 40, "ab" * 40),
        (kinds.LighterKey, "ab" * 40, "ab" * 40),
        (kinds.StarkKey, "0x1f", "1f"),
        (kinds.EthKey, "0X" + "12" * 32, "12" * 32),
        (kinds.SolanaKey, "5" * 88, "5" * 88),
        (kinds.SolanaKey, str(list(range(64))), str(list(range(64)))),
        (kinds.ApiKey, "b5a7c0de", "b5a7c0de"),
        (kinds.RpcAddress, "https://rpc.example/?api-key=b5a7c0de", "https://rpc.example/?api-key=b5a7c0de"),
    ],
)
def test_secrets_are_checked_and_normalised(kind: Any, text: str, kept: str) -> None:
    assert read(kind, text) == Secret(kept)


SECRETS = [
    (kinds.LighterKey, "c0ffee"),
    (kinds.LighterKey, "0x" + "zz" * 40),
    (kinds.StarkKey, "c0ffee" * 12),
    (kinds.EthKey, "c0ffee"),
    (kinds.SolanaKey, "0OIl-c0ffee"),
    (kinds.SolanaKey, "[1, 2, 3]"),
    (kinds.SolanaKey, str([256] * 64)),
    (kinds.SolanaKey, "[" * 5000),
    (kinds.ApiKey, "two words c0ffee"),
    (kinds.RpcAddress, "rpc.example/c0ffee"),
    (kinds.RpcAddress, "https://[c0ffee"),
]


@pytest.mark.parametrize(("kind", "text"), SECRETS)
def test_bad_secrets_are_refused_without_being_repeated(kind: Any, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(kind, text)
    (error,) = caught.value.errors(include_input=False, include_url=False)
    assert text not in str(error)
    assert "c0ffee" not in str(error)


@given(st.text(min_size=8, max_size=200))
def test_no_text_given_as_a_secret_comes_back_in_an_error(text: str) -> None:
    for kind in (kinds.LighterKey, kinds.StarkKey, kinds.EthKey, kinds.SolanaKey, kinds.ApiKey, kinds.RpcAddress):
        try:
            read(kind, text)
        except ValidationError as caught:
            reason = caught.errors(include_input=False, include_url=False)[0]["msg"]
            assert text not in reason


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.TradingMode, "dry_run", "dry_run"),
        (kinds.TradingMode, "DRY-RUN", "dry_run"),
        (kinds.TradingMode, "paper_trading", "dry_run"),
        (kinds.TradingMode, "live_trading", "live"),
        (kinds.DriftEnv, "Devnet", "devnet"),
        (kinds.DriftProfile, "drift-v2", "drift-v2"),
        (kinds.LogLevel, "debug", "DEBUG"),
        (kinds.Flag, "yes", True),
        (kinds.Flag, "0", False),
        (kinds.Usd, "1e3", 1000.0),
        (kinds.SubAccount, "0", 0),
    ],
)
def test_words_and_numbers(kind: Any, text: str, value: object) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kinds.TradingMode, "lives"),
        (kinds.Usd, "nan"),
        (kinds.Usd, "inf"),
        (kinds.Usd, "-1"),
        (kinds.Usd, "1,000"),
        (kinds.Share, "1.01"),
        (kinds.Seconds, "0"),
        (kinds.Port, "0"),
        (kinds.Count, "1.5"),
        (kinds.KeySlot, "255"),
        (kinds.Flag, "perhaps"),
        (kinds.FilePrefix, "../up"),
        (kinds.Host, "a b"),
    ],
)
def test_words_and_numbers_refused(kind: Any, text: str) -> None:
    with pytest.raises(ValidationError):
        read(kind, text)

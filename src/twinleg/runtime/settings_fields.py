"""The kinds of values a setting can have: what is accepted, and how to say so without showing what was given."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec
from pydantic import AfterValidator, BeforeValidator, Field

from twinleg.runtime.secret import Secret

PATH_SUFFIXES = ("/stream.extended.exchange/v1", "/stream.extended.exchange", "/api/v1", "/api", "/stream", "/ws")
"""What users append to a base, taken off again: the venues add their own paths."""


class Kind(msgspec.Struct, frozen=True):
    """How a kind of value is described to the user, in errors and in the documents."""

    text: str


def kind_of(annotation: Any, metadata: list[Any]) -> Kind | None:
    """The Kind that an annotated field carries, directly or inside a union."""
    for item in metadata:
        if isinstance(item, Kind):
            return item
    for argument in reversed(get_args(annotation)):  # of a mapping, its values
        found = kind_of(argument, list(getattr(argument, "__metadata__", ())))
        if found:
            return found
    return None


def _number(low: float, high: float, text: str) -> Any:
    return Field(ge=low, le=high, allow_inf_nan=False), Kind(text)


Usd = Annotated[float, *_number(0, 1e12, "US dollars, 0 or more")]
Bps = Annotated[float, *_number(0, 10_000, "basis points, 0 to 10000")]
Percent = Annotated[float, *_number(0, 100, "percent, 0 to 100")]
Score = Annotated[float, *_number(0, 100, "a score, 0 to 100")]
Share = Annotated[float, *_number(0, 1, "a share, 0 to 1")]
Multiple = Annotated[float, *_number(0, 1000, "a multiple, 0 to 1000")]
Leverage = Annotated[float, *_number(1, 100, "leverage, 1 to 100")]
Hours = Annotated[float, *_number(0.01, 8760, "hours, 0.01 to 8760")]
Seconds = Annotated[float, *_number(0.01, 86_400, "seconds, 0.01 to 86400")]
Cooldown = Annotated[float, *_number(0, 86_400, "seconds, 0 to 86400")]
Milliseconds = Annotated[int, *_number(1, 86_400_000, "milliseconds, a whole number from 1")]
Count = Annotated[int, *_number(1, 10_000, "a whole number, 1 to 10000")]
Retries = Annotated[int, *_number(0, 100, "a whole number, 0 to 100")]
Port = Annotated[int, *_number(1, 65_535, "a port, 1 to 65535")]
AccountIndex = Annotated[int, *_number(0, 2**48 - 1, "a whole number, 0 or more")]
SubAccount = Annotated[int, *_number(0, 65_535, "a whole number, 0 to 65535")]
KeySlot = Annotated[int, *_number(0, 254, "a key slot, 0 to 254")]
Flag = Annotated[bool, Kind("true or false")]


def _word(**spellings: str) -> BeforeValidator:
    """Lower-cases, takes - for _ and replaces other spellings of a word."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        word = value.lower().replace("-", "_")
        return spellings.get(word, word)

    return BeforeValidator(read)


TradingMode = Annotated[
    Literal["dry_run", "live"],
    _word(paper_trading="dry_run", live_trading="live"),
    Kind("dry_run (or paper_trading), or live (or live_trading)"),
]
DriftEnv = Annotated[Literal["mainnet", "devnet"], _word(), Kind("mainnet or devnet")]
Network = Annotated[Literal["mainnet", "testnet"], _word(), Kind("mainnet or testnet")]
NonceSource = Annotated[Literal["optimistic", "api"], _word(), Kind("optimistic or api")]
RebalanceAuto = Annotated[Literal["off", "positions"], _word(), Kind("off or positions")]
DriftProfile = Annotated[Literal["drift-v2", "velocity"], _word(drift_v2="drift-v2"), Kind("drift-v2 or velocity")]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
    Kind("DEBUG, INFO, WARNING, ERROR or CRITICAL"),
]


def _address(text: str) -> SplitResult | None:
    """The parts of an address, or None. The library's own errors repeat what was given, so they go no further."""
    try:
        parts = urlsplit(text)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _base(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if any(mark.isspace() or not mark.isprintable() for mark in text):
            raise ValueError("an address has no spaces in it")
        parts = _address(text)
        if parts is None or not parts.hostname:
            raise ValueError("not an address with a host and, if any, a port from 1 to 65535")
        if parts.scheme.lower() not in schemes:
            raise ValueError(f"an address here begins with {schemes[0]}:// or {schemes[1]}://")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("an address here has no user, query or fragment")
        path = parts.path.rstrip("/")
        for suffix in PATH_SUFFIXES:
            path = path.removesuffix(suffix).rstrip("/")
        return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"

    return read


HttpBase = Annotated[
    str, AfterValidator(_base(("https", "http"))), Kind("an address such as https://host, path suffixes not needed")
]
WsBase = Annotated[
    str, AfterValidator(_base(("wss", "ws"))), Kind("an address such as wss://host, path suffixes not needed")
]


def _text(pattern: str, problem: str) -> AfterValidator:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(problem)
        return text

    return AfterValidator(read)


Host = Annotated[
    str, _text(r"[A-Za-z0-9.:\-]{1,253}", "not a host name or address"), Kind("a host name or an address to listen on")
]
FilePrefix = Annotated[
    str, _text(r"[A-Za-z0-9_\-]{1,64}", "has other characters"), Kind("letters, digits, - and _, at most 64")
]
Folder = Annotated[Path, AfterValidator(Path.expanduser), Kind("a path")]
PublicKey = Annotated[str, _text(r"(0x)?[0-9A-Fa-f]{1,64}", "not a hex number"), Kind("hex, with or without 0x")]


def _secret(problem: str, read: Callable[[str], str | None]) -> AfterValidator:
    """Checks and normalises a secret's text; the error says what is wanted and never what was given."""

    def check(secret: Secret) -> Secret:
        text = read(secret.reveal())
        if text is None:
            raise ValueError(problem)
        return Secret(text)

    return AfterValidator(check)


def _hex(digits_min: int, digits_max: int) -> Callable[[str], str | None]:
    def read(text: str) -> str | None:
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        return digits.lower() if re.fullmatch(rf"[0-9A-Fa-f]{{{digits_min},{digits_max}}}", digits) else None

    return read


def _solana_key(text: str) -> str | None:
    """A 64-byte key pair or 32-byte seed: base58, or the JSON byte list of a key file. Kept as written."""
    if not text.startswith("["):
        return text if re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{32,88}", text) else None
    if not re.fullmatch(r"\[\s*\d{1,3}(\s*,\s*\d{1,3})*\s*\]", text):
        return None
    numbers = [int(digits) for digits in re.findall(r"\d+", text)]
    return text if len(numbers) in (32, 64) and max(numbers) <= 255 else None


def _rpc_address(text: str) -> str | None:
    parts = _address(text)
    clean = text.isprintable() and not any(mark.isspace() for mark in text)
    return text if clean and parts and parts.scheme in ("https", "http") and parts.hostname else None


LighterKey = Annotated[
    Secret, _secret("not a Lighter API private key", _hex(80, 80)), Kind("80 hex digits, with or without 0x")
]
StarkKey = Annotated[Secret, _secret("not a Stark private key", _hex(1, 64)), Kind("hex, with or without 0x")]
EthKey = Annotated[
    Secret, _secret("not an Ethereum private key", _hex(64, 64)), Kind("64 hex digits, with or without 0x")
]
SolanaKey = Annotated[
    Secret, _secret("not a Solana private key", _solana_key), Kind("base58 text, or a JSON list of 64 bytes")
]
ApiKey = Annotated[
    Secret,
    _secret("has spaces or is too long", lambda text: text if re.fullmatch(r"[!-~]{1,256}", text) else None),
    Kind("the key's text as the venue shows it"),
]
RpcAddress = Annotated[
    Secret,  # providers put their key into the address
    _secret("not an http(s) address", _rpc_address),
    Kind("an https:// address"),
]

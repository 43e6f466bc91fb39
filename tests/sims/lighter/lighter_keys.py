"""A client's own signer for tests in virtual time: the SDK's takes expiries from the machine's clock."""

from __future__ import annotations

import base64
import json
from typing import Any

from twinleg_sims.lighter import goldilocks, schnorr, transactions

CHAIN_ID = 304


def sign(private: int, message: goldilocks.Quintic, k: int = 987654321) -> bytes:
    """A signature with a chosen commitment: for tests only, a `k` used twice gives the key away."""
    e = schnorr.challenge(schnorr.multiplied((k, schnorr.GENERATOR)), message)
    s = (k - e * private) % schnorr.ORDER
    return s.to_bytes(40, "little") + e.to_bytes(40, "little")


def token(private: int, account: int, key: int, deadline_s: int) -> str:
    """An auth token."""
    text = f"{deadline_s}:{account}:{key}"
    return f"{text}:{sign(private, schnorr.text_hash(text)).hex()}"


def signed(private: int, tx_type: int, info: dict[str, Any], chain_id: int = CHAIN_ID) -> tuple[str, str]:
    """The transaction's JSON with its signature, and its hash in hex."""
    info = {"L2TxAttributes": None, **info, "Sig": ""}
    digest = transactions.tx_hash(chain_id, transactions.parsed(tx_type, json.dumps(info).encode()))
    info["Sig"] = base64.b64encode(sign(private, digest)).decode()
    return json.dumps(info), goldilocks.to_bytes(digest).hex()

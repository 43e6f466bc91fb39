"""Whatever is sent, the venue answers or refuses; nothing falls over and nothing is written."""

from __future__ import annotations

from base64 import b64encode

import msgspec
from drift_chain import Chain
from hypothesis import given
from hypothesis import strategies as st

from twinleg_sims.drift.keys import to_base58
from twinleg_sims.drift.program import _BY_NAME as INSTRUCTIONS
from twinleg_sims.protocol import HttpRequest

CHAIN = Chain()
CLIENT = CHAIN.open()
USER = to_base58(CLIENT.user_key)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8) | st.just(USER)
WORDS = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=9), of, max_size=3)
)
METHODS = (
    "getAccountInfo", "getMultipleAccounts", "getProgramAccounts", "getLatestBlockhash", "sendTransaction",
    "simulateTransaction", "getSignatureStatuses", "getSignaturesForAddress", "getTransaction", "getSlot",
    "getBalance", "getTokenAccountBalance", "isBlockhashValid", "getMinimumBalanceForRentExemption",
)  # fmt: skip
SUBSCRIBES = ("accountSubscribe", "programSubscribe", "logsSubscribe", "signatureSubscribe", "accountUnsubscribe")


@given(st.sampled_from(METHODS), st.lists(WORDS, max_size=3) | WORDS)
def test_any_request_has_an_answer(method: str, params: object) -> None:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    reply = msgspec.json.decode(CHAIN.post(body).body)
    assert ("result" in reply) != ("error" in reply)


@given(WORDS | st.lists(WORDS))
def test_any_body_has_an_answer(words: object) -> None:
    assert msgspec.json.decode(CHAIN.post(msgspec.json.encode(words)).body)


@given(st.sampled_from(SUBSCRIBES) | WORDS, st.lists(WORDS, max_size=2) | WORDS, st.sampled_from(["/", "/ws"]))
def test_any_message_has_an_answer(method: object, params: object, path: str) -> None:
    CHAIN.core.ws_open(1, HttpRequest("GET", path), CHAIN.now_ms)
    words = {"method": method, "params": params, "type": method, "channel": params, "market": method}
    assert CHAIN.core.ws_message(1, msgspec.json.encode(words), CHAIN.now_ms)
    CHAIN.core.ws_closed(1)


@given(st.sampled_from(sorted(INSTRUCTIONS)), st.binary(max_size=70), st.integers(0, 14), st.booleans())
def test_any_instruction_succeeds_or_fails_by_code(name: str, words: bytes, accounts: int, stats: bool) -> None:
    before = {address: bytes(held.data) for address, held in CHAIN.core.ledger.held.items()}
    raw = CLIENT.packed(name, words, CLIENT.metas(stats=stats)[: max(4, accounts)])
    reply = CHAIN.rpc("simulateTransaction", b64encode(raw).decode(), {"encoding": "base64"})
    error = reply["result"]["value"]["err"]
    assert error is None or set(error) == {"InstructionError"}
    assert {address: bytes(held.data) for address, held in CHAIN.core.ledger.held.items()} == before


@given(
    st.sampled_from(["/l2", "/l3", "/topMakers", "/auctionParams", "/batchL2", "/stats/x", "/market/SOL-PERP/x"]),
    st.dictionaries(st.sampled_from(["marketName", "depth", "side", "limit", "direction"]), st.text(max_size=9)),
)
def test_any_query_has_an_answer(path: str, query: dict[str, str]) -> None:
    named = {"marketName": "SOL-PERP", **query}
    reply = CHAIN.core.http(HttpRequest("GET", path, list(named.items())), CHAIN.now_ms)
    assert reply.status in (200, 400, 404)

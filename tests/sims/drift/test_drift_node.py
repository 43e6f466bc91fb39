"""The node: JSON-RPC single and batched, its WebSocket, and transactions from preflight to block."""

from __future__ import annotations

from base64 import b64decode, b64encode

import msgspec
import pytest
from drift_chain import LONG, MARKET, Chain, order

from twinleg_sims.drift.keys import KEY_BYTES, from_base58, key, to_base58
from twinleg_sims.drift.transaction import BadTransactionError, compiled, decode, table_account
from twinleg_sims.protocol import HttpRequest


def test_accounts_are_read_one_by_one_many_at_once_and_by_filter() -> None:
    chain = Chain()
    client = chain.open()
    address = to_base58(client.user_key)
    one = chain.rpc("getAccountInfo", address, {"encoding": "base64"})["result"]
    assert set(one["value"]) == {"data", "executable", "lamports", "owner", "rentEpoch", "space"}
    assert (one["value"]["space"], one["value"]["data"][1]) == (4376, "base64")
    nobody = to_base58(bytes(range(32)))
    many = chain.rpc("getMultipleAccounts", [address, nobody])["result"]
    assert many["value"] == [one["value"], None]
    markets = [{"memcmp": {"offset": 0, "bytes": "2pTyMkwXuti"}}]
    found = chain.rpc("getProgramAccounts", to_base58(chain.profile.program), {"filters": markets, "withContext": True})
    assert len(found["result"]["value"]) == 3
    sized = chain.rpc("getProgramAccounts", to_base58(chain.profile.program), {"filters": [{"dataSize": 776}]})
    assert len(sized["result"]) == 2


def test_a_batch_is_answered_in_order_and_nonsense_is_refused() -> None:
    chain = Chain()
    batch = [{"jsonrpc": "2.0", "id": n, "method": name} for n, name in ((4, "getSlot"), (5, "getHealth"), (6, "x"))]
    replies = msgspec.json.decode(chain.post(msgspec.json.encode(batch)).body)
    assert [reply["id"] for reply in replies] == [4, 5, 6]
    assert replies[1]["result"] == "ok"
    assert replies[2]["error"]["code"] == -32601
    assert msgspec.json.decode(chain.post(b"{").body)["error"]["code"] == -32700
    assert msgspec.json.decode(chain.post(b"[]").body)["error"]["code"] == -32600
    assert chain.rpc("getAccountInfo", "not a key")["error"]["code"] == -32602
    assert chain.rpc("getAccountInfo")["error"]["code"] == -32602
    assert chain.core.http(HttpRequest("PUT", "/"), chain.now_ms).status == 405


def test_a_transaction_has_no_status_until_it_lands_and_then_grows_old() -> None:
    chain = Chain()
    client = chain.open()
    signature = client.place(price=chain.price // 2)
    assert chain.rpc("getSignatureStatuses", [signature])["result"]["value"] == [None]
    chain.slots()
    status = chain.rpc("getSignatureStatuses", [signature])["result"]["value"][0]
    assert (status["confirmationStatus"], status["err"], status["status"]) == ("processed", None, {"Ok": None})
    chain.slots(40)
    status = chain.rpc("getSignatureStatuses", [signature])["result"]["value"][0]
    assert (status["confirmationStatus"], status["confirmations"]) == ("finalized", None)


def test_the_past_of_an_account_is_listed_newest_first_with_logs() -> None:
    chain = Chain()
    client = chain.open()
    first = client.place(price=chain.price // 2)
    chain.slots(2)
    second = client.cancel_all()
    chain.slots(2)
    rows = chain.rpc("getSignaturesForAddress", to_base58(client.user_key), {"limit": 10})["result"]
    assert [row["signature"] for row in rows] == [second, first]
    until = chain.rpc("getSignaturesForAddress", to_base58(client.user_key), {"until": first})["result"]
    assert [row["signature"] for row in until] == [second]
    told = chain.rpc("getTransaction", first, {"encoding": "base64", "maxSupportedTransactionVersion": 0})["result"]
    assert "Program log: Instruction: PlacePerpOrder" in told["meta"]["logMessages"]
    assert decode(b64decode(told["transaction"][0])).signatures[0] == from_base58(first)


def test_a_keepers_fill_can_be_read_like_any_transaction() -> None:
    chain = Chain()
    client = chain.open()
    client.place(kind=MARKET)
    chain.until(lambda: client.held() > 0)
    chain.slots(2)
    newest = chain.rpc("getSignaturesForAddress", to_base58(client.user_key), {"limit": 1})["result"][0]["signature"]
    told = chain.rpc("getTransaction", newest)["result"]
    assert "Program log: Instruction: FillPerpOrder" in told["meta"]["logMessages"]
    assert decode(b64decode(told["transaction"][0])).blockhash


def test_the_same_words_within_a_blockhash_are_the_same_transaction() -> None:
    chain = Chain()
    client = chain.open()
    raw = b64encode(client.packed("place_perp_order", order(price=chain.price // 2), client.metas())).decode()
    config = {"encoding": "base64", "skipPreflight": True}
    signature = chain.rpc("sendTransaction", raw, config)["result"]
    assert chain.rpc("sendTransaction", raw, config)["result"] == signature
    chain.slots(3)
    assert len(client.orders()) == 1
    again = chain.rpc("sendTransaction", raw, {"encoding": "base64"})
    assert again["error"]["data"]["err"] == "AlreadyProcessed"


def test_a_refused_preflight_says_why_and_sends_nothing() -> None:
    chain = Chain()
    client = chain.open(10)
    reply = client.sent("place_perp_order", order(price=chain.price * 9 // 10, base=100 * 10**9))
    error = reply["error"]
    assert (error["code"], error["data"]["err"]) == (-32002, {"InstructionError": [0, {"Custom": 6003}]})
    assert any("InsufficientCollateral" in line for line in error["data"]["logs"])
    chain.slots(3)
    assert client.orders() == []


def test_without_preflight_it_lands_and_fails_and_leaves_nothing() -> None:
    chain = Chain()
    client = chain.open(10)
    signature = client.send("place_perp_order", order(price=chain.price, base=10**11), skipPreflight=True)
    chain.slots(2)
    status = chain.rpc("getSignatureStatuses", [signature])["result"]["value"][0]
    assert status["err"] == {"InstructionError": [0, {"Custom": 6003}]}
    assert client.user["next_order_id"] == 1


def test_a_blockhash_expires() -> None:
    chain = Chain()
    client = chain.open()
    raw = b64encode(client.packed("place_perp_order", order(price=chain.price // 2), client.metas())).decode()
    chain.slots(160)
    reply = chain.rpc("sendTransaction", raw, {"encoding": "base64"})
    assert reply["error"]["data"]["err"] == "BlockhashNotFound"
    chain.rpc("sendTransaction", raw, {"encoding": "base64", "skipPreflight": True})
    chain.slots(3)
    assert client.orders() == []


def test_a_wrong_signature_and_another_ones_user_are_refused() -> None:
    chain = Chain()
    client, other = chain.open(), chain.open()
    raw = bytearray(client.packed("cancel_orders", b"\0\0\0", client.metas()))
    raw[5] ^= 1
    assert chain.rpc("sendTransaction", b64encode(raw).decode(), {"encoding": "base64"})["error"]["code"] == -32003
    stolen = [client.metas()[0], other.metas()[1], *client.metas()[2:]]
    reply = client.sent("cancel_orders", b"\0\0\0", stolen)
    assert reply["error"]["data"]["err"] == {"InstructionError": [0, {"Custom": 2001}]}


def test_simulation_finds_a_disabled_program() -> None:
    chain = Chain()
    client = chain.open()
    raw = b64encode(client.packed("cancel_orders", b"\0\0\0", client.metas())).decode()
    config = {"encoding": "base64", "replaceRecentBlockhash": True}
    assert chain.rpc("simulateTransaction", raw, config)["result"]["value"]["err"] is None
    chain.fault("program_disabled")
    value = chain.rpc("simulateTransaction", raw, config)["result"]["value"]
    assert value["err"] == {"InstructionError": [0, {"Custom": 101}]}
    assert any("InstructionFallbackNotFound" in line for line in value["logs"])


def test_keys_come_from_lookup_tables_writable_first() -> None:
    own, table = bytes([1]) * KEY_BYTES, bytes([2]) * KEY_BYTES
    listed = [bytes([n]) * KEY_BYTES for n in (10, 11, 12)]
    message = b"\x80" + bytes([1, 0, 0, 1]) + own + bytes(KEY_BYTES) + b"\0"
    message += b"\1" + table + b"\2\2\0" + b"\1\1"
    sent = decode(b"\1" + bytes(64) + message)
    metas = sent.metas(lambda address: table_account(listed) if address == table else None)
    assert [(meta.address[0], meta.signer, meta.writable) for meta in metas] == [
        (1, True, True), (12, False, True), (10, False, True), (11, False, False),
    ]  # fmt: skip
    with pytest.raises(BadTransactionError, match="NotFound"):
        sent.metas(lambda _: None)


@pytest.mark.parametrize("raw", [b"", b"\1", b"\1" + bytes(64) + b"\x81", bytes(2000), b"\xff\xff\xff"])
def test_bytes_that_are_no_transaction_are_refused(raw: bytes) -> None:
    with pytest.raises(BadTransactionError):
        decode(raw)


def test_a_compiled_transaction_reads_back() -> None:
    chain = Chain()
    client = chain.open()
    metas = client.metas()
    sent = decode(compiled(metas, chain.profile.program, b"data", bytes(32), bytes(64)))
    found = sent.metas(lambda _: None)
    named = [found[at] for at in sent.instructions[0].accounts]
    assert [meta.address for meta in named] == [meta.address for meta in metas]
    assert [meta.signer for meta in named] == [meta.signer for meta in metas]
    assert found[sent.instructions[0].program].address == chain.profile.program


def test_a_subscriber_hears_of_its_account_and_its_logs() -> None:
    chain = Chain()
    client = chain.open()
    address = to_base58(client.user_key)
    asked = {"jsonrpc": "2.0", "id": 7, "method": "accountSubscribe", "params": [address, {"encoding": "base64"}]}
    answer = chain.stream(1, "/", asked)
    assert answer == {"jsonrpc": "2.0", "result": answer["result"], "id": 7}
    logs = chain.ask(1, {"id": 8, "method": "logsSubscribe", "params": [{"mentions": [address]}, {}]})["result"]
    slots = chain.ask(1, {"id": 9, "method": "slotSubscribe"})["result"]
    chain.heard.clear()
    signature = client.place(price=chain.price // 2)
    chain.slots()
    by_kind = {words["method"]: words["params"] for words in chain.heard}
    told = by_kind["accountNotification"]["result"]
    assert by_kind["accountNotification"]["subscription"] == answer["result"]
    assert told["context"]["slot"] == chain.core.ledger.clock.slot
    assert b64decode(told["value"]["data"][0]) == bytes(client.user.data)
    assert by_kind["logsNotification"]["result"]["value"]["signature"] == signature
    assert (by_kind["logsNotification"]["subscription"], by_kind["slotNotification"]["subscription"]) == (logs, slots)
    assert chain.ask(1, {"id": 10, "method": "accountUnsubscribe", "params": [answer["result"]]})["result"] is True
    assert chain.ask(1, {"id": 11, "method": "accountUnsubscribe", "params": [answer["result"]]})["result"] is False


def test_a_signature_is_told_once_even_when_it_has_landed_already() -> None:
    chain = Chain()
    client = chain.open()
    signature = client.place(price=chain.price // 2)
    asked = {"id": 1, "method": "signatureSubscribe", "params": [signature, {"commitment": "confirmed"}]}
    chain.stream(1, "/", asked)
    chain.slots(3)
    told = [words for words in chain.heard if words.get("method") == "signatureNotification"]
    assert [words["params"]["result"]["value"] for words in told] == [{"err": None}]
    chain.heard.clear()
    chain.ask(1, asked)
    assert [words.get("method") for words in chain.heard] == [None, "signatureNotification"]


def test_program_subscribers_hear_of_markets_only_as_they_filter() -> None:
    chain = Chain()
    filters = [{"memcmp": {"offset": 0, "bytes": "2pTyMkwXuti"}}]
    program = to_base58(chain.profile.program)
    chain.stream(1, "/", {"id": 1, "method": "programSubscribe", "params": [program, {"filters": filters}]})
    client = chain.open()
    client.place(kind=MARKET, direction=LONG)
    chain.until(lambda: client.held() > 0)
    chain.slots()
    told = [words["params"]["result"]["value"]["pubkey"] for words in chain.heard if words.get("method")]
    assert set(told) == {to_base58(chain.profile.perp_market_key(0))}


def test_a_connection_that_comes_back_hears_nothing_of_what_it_missed() -> None:
    chain = Chain()
    client = chain.open()
    asked = {"id": 1, "method": "accountSubscribe", "params": [to_base58(client.user_key), {}]}
    chain.stream(1, "/", asked)
    chain.core.ws_closed(1)
    client.place(price=chain.price // 2)
    chain.slots(2)
    chain.heard.clear()
    chain.stream(2, "/", asked)
    chain.slots(5)
    assert [words for words in chain.heard if words.get("method")] == []
    assert key(client.opened["user"]) == client.user_key

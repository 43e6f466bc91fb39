"""Lighter's signatures: what the official SDK would send for the same order, and nothing that was not asked for."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import msgspec
import pytest
from lighter import SignerClient
from lighter.signer_client import create_api_key, get_signer

from twinleg.core.trading import Lane
from twinleg.runtime.clock import SystemClock
from twinleg.venues.lighter import facts
from twinleg.venues.lighter.sign import OrderFields, Signer, SigningError, Tokens, Transaction, public_key

KEY = "5a" * 39 + "01"
NOW_MS = 1_795_000_000_000
LANE = Lane("5", 7)
HOUR_MS = 3_600_000
ORDER = OrderFields(
    market_index=0,
    client_order_index=2**30 + 5,
    base_amount=1_000,
    price=405_000,
    is_ask=True,
    order_type=facts.LIMIT,
    time_in_force=facts.IMMEDIATE_OR_CANCEL,
)


def order(**changes: Any) -> OrderFields:
    return msgspec.structs.replace(ORDER, **changes)


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(account_index=12_345, chain_id=facts.CHAIN_MAINNET, private_keys={5: f"0x{KEY}", 6: KEY})


async def sdk_sends(call: Callable[[SignerClient], Any]) -> dict[str, Any]:
    """What the unmodified SDK client posts, caught at its own door to the network."""
    client = SignerClient(url="http://127.0.0.1:9", account_index=12_345, api_private_keys={5: KEY}, chain_id=304)
    sent: list[tuple[int, str]] = []

    async def send_tx(tx_type: int, tx_info: str) -> Any:
        sent.append((tx_type, tx_info))
        return None

    client.send_tx = send_tx
    try:
        await call(client)
    finally:
        await client.close()
    ((tx_type, info),) = sent
    return told(Transaction(tx_type, info, "", 0))


def told(transaction: Transaction) -> dict[str, Any]:
    """All of a transaction but what differs each time."""
    fields = json.loads(transaction.info)
    assert len(base64.b64decode(fields.pop("Sig"))) == 80
    assert fields.pop("ExpiredAt") > 0
    return {"type": transaction.type, **fields}


KINDS = {
    "ioc": order(),
    "post-only": order(time_in_force=facts.POST_ONLY, expiry_ms=NOW_MS, is_ask=False),
    "good-till-time": order(time_in_force=facts.GOOD_TILL_TIME, expiry_ms=NOW_MS + HOUR_MS),
    "bounded market": order(order_type=facts.MARKET),
    "reduce-only": order(reduce_only=True, market_index=254, price=facts.PRICE_MAX, base_amount=2**48 - 1),
    "stop-loss": order(order_type=facts.STOP_LOSS, trigger_price=400_000, expiry_ms=NOW_MS, reduce_only=True),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_an_order_is_what_the_sdk_sends(signer: Signer, kind: str) -> None:
    wanted = KINDS[kind]
    theirs = await sdk_sends(
        lambda client: client.create_order(
            wanted.market_index,
            wanted.client_order_index,
            wanted.base_amount,
            wanted.price,
            wanted.is_ask,
            wanted.order_type,
            wanted.time_in_force,
            wanted.reduce_only,
            wanted.trigger_price,
            wanted.expiry_ms,
            nonce=7,
            api_key_index=5,
        )
    )
    assert told(signer.create_order(wanted, LANE)) == theirs


SCHEDULED_MS = NOW_MS + HOUR_MS
OTHERS: dict[str, tuple[Callable[[Signer], Transaction], Callable[[SignerClient], Any]]] = {
    "cancel by our index": (
        lambda ours: ours.cancel_order(3, 2**30 + 5, LANE),
        lambda sdk: sdk.cancel_order(3, 2**30 + 5, nonce=7, api_key_index=5),
    ),
    "cancel by the venue's index": (
        lambda ours: ours.cancel_order(3, 281476929510110, LANE),
        lambda sdk: sdk.cancel_order(3, 281476929510110, nonce=7, api_key_index=5),
    ),
    "cancel all": (
        lambda ours: ours.cancel_all(facts.CANCEL_ALL_NOW, 0, None, LANE),
        lambda sdk: sdk.cancel_all_orders(sdk.CANCEL_ALL_TIF_IMMEDIATE, 0, nonce=7, api_key_index=5),
    ),
    "cancel all, scheduled": (
        lambda ours: ours.cancel_all(facts.CANCEL_ALL_SCHEDULED, SCHEDULED_MS, None, LANE),
        lambda sdk: sdk.cancel_all_orders(sdk.CANCEL_ALL_TIF_SCHEDULED, SCHEDULED_MS, nonce=7, api_key_index=5),
    ),
    "cancel all, not any more": (
        lambda ours: ours.cancel_all(facts.CANCEL_ALL_ABORT, 0, None, LANE),
        lambda sdk: sdk.cancel_all_orders(sdk.CANCEL_ALL_TIF_ABORT, 0, nonce=7, api_key_index=5),
    ),
    "cancel all of one market": (
        lambda ours: ours.cancel_all(facts.CANCEL_ALL_NOW, 0, 3, LANE),
        lambda sdk: sdk.cancel_all_orders(0, 0, cancel_all_market_index=3, nonce=7, api_key_index=5),
    ),
    "modify": (
        lambda ours: ours.modify_order(3, 281476929510110, 2_000, 405_001, LANE),
        lambda sdk: sdk.modify_order(3, 281476929510110, 2_000, 405_001, nonce=7, api_key_index=5),
    ),
    "leverage": (
        lambda ours: ours.update_leverage(3, 10_000 // 3, LANE),
        lambda sdk: sdk.update_leverage(3, sdk.CROSS_MARGIN_MODE, 3, nonce=7, api_key_index=5),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
async def test_every_other_transaction_is_what_the_sdk_sends(signer: Signer, kind: str) -> None:
    ours, theirs = OTHERS[kind]
    assert told(ours(signer)) == await sdk_sends(theirs)


def test_a_hash_names_the_content_and_not_the_signature(signer: Signer) -> None:
    """The library stamps the expiry by itself, to the millisecond: of many made on a thread, some share it."""
    by_expiry: dict[int, list[Transaction]] = {}
    with ThreadPoolExecutor(1) as thread:
        for _ in range(500):
            signed = thread.submit(signer.cancel_order, 0, 1, LANE).result()
            by_expiry.setdefault(signed.expires_ms, []).append(signed)
    assert len({signed.info for same in by_expiry.values() for signed in same}) == 500
    for same in by_expiry.values():
        assert len({signed.hash for signed in same}) == 1
    assert len(by_expiry) < 500
    assert len({same[0].hash for same in by_expiry.values()}) == len(by_expiry)
    assert all(len(bytes.fromhex(same[0].hash)) == 40 for same in by_expiry.values())


def test_another_chain_is_another_hash() -> None:
    """Also when nothing else differs, down to the millisecond: which is why the chain must be said."""

    def same_moment(*chain_ids: int) -> list[str]:
        for _ in range(1_000):
            signed = [Signer(777, chain, {9: KEY}).cancel_order(0, 1, Lane("9", 1)) for chain in chain_ids]
            if len({one.expires_ms for one in signed}) == 1:
                return [one.hash for one in signed]
        raise AssertionError("no two signatures within a millisecond")

    with ThreadPoolExecutor(1) as thread:
        one, other = thread.submit(same_moment, facts.CHAIN_MAINNET, facts.CHAIN_TESTNET).result()
        again = thread.submit(same_moment, facts.CHAIN_MAINNET, facts.CHAIN_MAINNET).result()
    assert one != other
    assert len(set(again)) == 1


@pytest.mark.parametrize(
    "lane", [Lane("5", None), Lane("5", -1), Lane("5", 2**48), Lane("7", 1), Lane("", 1), Lane("05", 1)]
)
def test_without_key_and_nonce_nothing_is_signed(signer: Signer, lane: Lane) -> None:
    with pytest.raises(SigningError, match="slot"):
        signer.create_order(ORDER, lane)


@pytest.mark.parametrize("wrong", [{"price": 2**32 + 5}, {"trigger_price": 2**32 + 5, "order_type": facts.STOP_LOSS}])
def test_what_wraps_in_the_library_is_not_given_out(signer: Signer, wrong: dict[str, int]) -> None:
    with pytest.raises(SigningError, match="signed something else"):
        signer.create_order(order(expiry_ms=NOW_MS if "order_type" in wrong else 0, **wrong), LANE)


def test_what_was_not_asked_for_is_not_given_out(signer: Signer) -> None:
    """Such as a field that a newer library adds."""
    signed = (
        15,
        '{"AccountIndex":12345,"ApiKeyIndex":5,"Nonce":7,"ExpiredAt":1,"L2TxAttributes":null,"X":1}',
        "ab",
        None,
    )
    with pytest.raises(SigningError, match="'X'"):
        signer._checked(15, signed, {}, LANE)


def test_what_the_library_refuses_is_told(signer: Signer) -> None:
    with pytest.raises(SigningError, match="refused"):
        signer.create_order(order(base_amount=2**48), LANE)


@pytest.mark.parametrize("key", ["", "zz" * 40, "ab" * 32, "00" * 40, KEY + "00"])
def test_a_bad_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="slot 5 is not 80 hex digits") as caught:
        Signer(1, 304, {5: key})
    assert not key or key not in str(caught.value)


def test_slots_and_accounts_have_bounds() -> None:
    for slot in (-1, 255):
        with pytest.raises(ValueError, match="slots go from 0"):
            Signer(1, 304, {slot: KEY})
    with pytest.raises(ValueError, match="at least one API key"):
        Signer(1, 304, {})


def test_public_keys_are_the_librarys() -> None:
    for _ in range(5):
        private, public, _ = create_api_key()
        assert f"0x{public_key(private[2:])}" == public
        assert f"0x{Signer(1, 304, {4: private}).public_key(4)}" == public


def test_secrets_show_nowhere(signer: Signer) -> None:
    token = Tokens(signer, 5).current(NOW_MS)
    assert KEY not in repr(signer)
    assert str(token) not in repr([token])
    assert KEY not in str(SigningError("x"))


def test_a_token_is_made_anew_before_it_ends(signer: Signer) -> None:
    tokens = Tokens(signer, 5)
    first = tokens.current(NOW_MS)
    deadline_s, account, slot, signature = first.split(":")
    assert int(deadline_s) == NOW_MS // 1_000 + 7 * 3_600
    assert (account, slot, len(signature)) == ("12345", "5", 160)
    assert tokens.current(NOW_MS + 6 * HOUR_MS - 1) is first
    later = tokens.current(NOW_MS + 6 * HOUR_MS)
    assert int(later.split(":")[0]) == NOW_MS // 1_000 + 13 * 3_600


def test_a_token_from_the_future_is_made_anew(signer: Signer) -> None:
    """The clock was set back: the old deadline may lie more than the venue's 8 hours ahead."""
    tokens = Tokens(signer, 5)
    first = tokens.current(NOW_MS)
    assert tokens.current(NOW_MS - 1_000) is not first


def test_a_refused_token_is_not_used_again(signer: Signer) -> None:
    tokens = Tokens(signer, 6)
    first = tokens.current(NOW_MS)
    tokens.refused()
    assert tokens.current(NOW_MS) is not first


def test_the_library_is_the_one_we_know() -> None:
    """Its interface is positional and has changed between releases: a new one is looked at before it signs."""
    assert version("lighter-sdk") == "1.1.8"
    library = get_signer()
    counts = {
        "CreateClient": 5,
        "SignCreateOrder": 19,
        "SignCancelOrder": 6,
        "SignCancelAllOrders": 7,
        "SignModifyOrder": 15,
        "SignUpdateLeverage": 7,
        "CreateAuthToken": 3,
    }
    assert {name: len(getattr(library, name).argtypes) for name in counts} == counts


def test_of_the_sdks_client_only_these_are_used() -> None:
    """Our client is made without its constructor: what its methods read must be what we set."""
    used = (
        SignerClient.create_client,
        SignerClient.create_auth_token_with_expiry,
        SignerClient.sign_create_order,
        SignerClient.sign_cancel_order,
        SignerClient.sign_cancel_all_orders,
        SignerClient.sign_modify_order,
        SignerClient.sign_update_leverage,
    )
    names = {name for method in used for name in method.__code__.co_names}
    read = {name for name in names if f"self.{name}" in "".join(map(inspect.getsource, used))}
    assert read == {
        "_SignerClient__decode_tx_info", "account_index", "api_key_dict", "chain_id", "signer", "url"
    } - {"_SignerClient__decode_tx_info"}  # fmt: skip


def test_the_library_cannot_ask_for_a_nonce_by_itself() -> None:
    client = Signer(778, facts.CHAIN_MAINNET, {5: KEY})._loaded()
    *_, error = client.sign_cancel_order(0, 1, nonce=-1, api_key_index=5)
    assert "HTTPClient is nil" in error


def test_a_generated_key_signs_for_ten_minutes_from_now() -> None:
    private, _, error = create_api_key()
    assert error is None
    before_ms = SystemClock().wall_ms()
    signed = Signer(31, 300, {4: private}).cancel_order(0, 1, Lane("4", 0))
    after_ms = SystemClock().wall_ms()
    assert before_ms <= signed.expires_ms - facts.TRANSACTION_LIFE_MS <= after_ms
    assert signed.type == facts.TX_CANCEL_ORDER

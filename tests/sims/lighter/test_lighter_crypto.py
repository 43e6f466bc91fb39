"""Our hash and verification against the official signer: every transaction type, attributes, auth tokens, keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lighter.signer_client import CreateOrderTxReq, SignerClient, create_api_key
from lighter_keys import sign, token

from twinleg_sims.lighter import goldilocks, schnorr, transactions
from twinleg_sims.lighter.goldilocks import P
from twinleg_sims.lighter.transactions import TransactionError

quintics = st.tuples(*[st.integers(0, P - 1)] * 5)
EXPIRY_MS = 1_797_610_217_848


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.delenv(name, raising=False)


class Signer:
    """The SDK's signer with a key of its own making, offline."""

    def __init__(self, chain_id: int) -> None:
        private, public, error = create_api_key()
        assert error is None
        self.private = int.from_bytes(bytes.fromhex(private[2:]), "little")
        self.public = bytes.fromhex(public[2:])
        self.client = SignerClient("http://127.0.0.1:1", 12_345, {5: private}, chain_id=chain_id)
        self.chain_id = chain_id

    def check(self, reply: tuple[int, str, str, str | None]) -> transactions.Transaction:
        """Ours equals theirs, and their signature is accepted."""
        tx_type, info, their_hash, error = reply
        assert error is None
        transaction = transactions.parsed(tx_type, info.encode())
        message = transactions.tx_hash(self.chain_id, transaction)
        assert goldilocks.to_bytes(message).hex() == their_hash
        assert schnorr.verify(self.public, message, transaction.sig)
        return transaction


@pytest.fixture(params=[304, 300])
async def signer(request: pytest.FixtureRequest) -> AsyncIterator[Signer]:
    made = Signer(request.param)
    yield made
    await made.client.close()


def every_type(client: SignerClient, dice: Random) -> list[tuple[int, str, str, str | None]]:
    """One random transaction of each type, with and without attributes."""
    send: dict[str, Any] = {"nonce": dice.randrange(2**40), "api_key_index": 5}
    index, size, price = dice.randrange(1, 2**48), dice.randrange(1, 2**48), dice.randrange(1, 2**31)
    market, ask = dice.randrange(255), dice.randrange(2)
    orders = [
        CreateOrderTxReq(market, index, size, price, ask, 0, 1, 0, 0, EXPIRY_MS),
        CreateOrderTxReq(market, 0, 0, price, 1 - ask, 2, 0, 1, price, EXPIRY_MS),
        CreateOrderTxReq(market, 0, 0, price, 1 - ask, 5, 1, 1, price, EXPIRY_MS),
    ]
    return [
        client.sign_create_order(market, index, size, price, ask, 0, 1, **send),
        client.sign_create_order(market, 0, size, price, ask, 1, 0, order_expiry=0, skip_nonce=1, **send),
        client.sign_create_order(market, 0, size, price, ask, 3, 1, True, price, EXPIRY_MS, **send),
        client.sign_create_order(market, index, size, price, ask, 0, 2, self_trade_behavior_mode=2, **send),
        client.sign_create_order(
            market, index, size, price, ask, 0, 2, integrator_account_index=9, integrator_taker_fee=77, **send
        ),
        client.sign_cancel_order(market, index, **send),
        client.sign_cancel_all_orders(0, 0, **send),
        client.sign_cancel_all_orders(0, 0, 0, **send),
        client.sign_cancel_all_orders(0, 0, market, **send),
        client.sign_cancel_all_orders(1, EXPIRY_MS, **send),
        client.sign_modify_order(market, index, size, price, order_version=dice.randrange(1, 99), **send),
        client.sign_update_leverage(market, dice.randrange(1, 10_001), ask, **send),
        client.sign_update_margin(market, dice.randrange(1, 2**55), ask, **send),
        client.sign_withdraw(3, ask, dice.randrange(1, 2**55), **send),
        client.sign_transfer_same_master_account(78, 3, ask, 1, dice.randrange(1, 2**55), 2**33 + 1, "m" * 32, **send),
        client.sign_create_grouped_orders(1, orders[:2], **send),
        client.sign_create_grouped_orders(3, orders, **send),
        client.sign_change_api_key("0x" + "11" * 32, "0x" + "22" * 40, **send),
    ]


async def test_every_transaction_hashes_and_verifies_as_the_official_signer_has_it(signer: Signer) -> None:
    dice = Random(signer.chain_id)
    replies = every_type(signer.client, dice)
    assert {signer.check(reply).type for reply in replies} == set(transactions.TYPES)


async def test_many_random_orders_hash_alike(signer: Signer) -> None:
    dice = Random(7)
    for number in range(60):
        _, info, their_hash, error = signer.client.sign_create_order(
            dice.randrange(255), dice.randrange(2**48), dice.randrange(1, 2**48), dice.randrange(1, 2**31),
            dice.randrange(2), 0, 1, nonce=number, api_key_index=5,
        )  # fmt: skip
        assert error is None
        ours = transactions.tx_hash(signer.chain_id, transactions.parsed(14, info.encode()))
        assert goldilocks.to_bytes(ours).hex() == their_hash


async def test_what_was_tampered_with_is_refused(signer: Signer) -> None:
    _, info, _, _ = signer.client.sign_create_order(0, 5, 1000, 405_000, 1, 0, 1, nonce=7, api_key_index=5)
    honest = transactions.parsed(14, info.encode())
    message = transactions.tx_hash(signer.chain_id, honest)
    forged = transactions.parsed(14, info.replace('"Price":405000', '"Price":405001').encode())
    assert not schnorr.verify(signer.public, transactions.tx_hash(signer.chain_id, forged), honest.sig)
    assert not schnorr.verify(signer.public, transactions.tx_hash(signer.chain_id + 1, honest), honest.sig)
    flipped = bytes([honest.sig[0] ^ 1]) + honest.sig[1:]
    assert not schnorr.verify(signer.public, message, flipped)
    assert not schnorr.verify(signer.public, message, honest.sig[:-1])
    assert not schnorr.verify(signer.public, message, b"\xff" * 80)
    assert not schnorr.verify(schnorr.public_key(3), message, honest.sig)
    assert not schnorr.verify(b"\xff" * 40, message, honest.sig), "no element of the field"
    assert schnorr.verify(signer.public, message, honest.sig)


async def test_auth_tokens_are_signed_texts(signer: Signer) -> None:
    made, error = signer.client.create_auth_token_with_expiry(600, api_key_index=5)
    assert error is None
    text, _, signature = made.rpartition(":")
    assert schnorr.verify(signer.public, schnorr.text_hash(text), bytes.fromhex(signature))
    assert not schnorr.verify(signer.public, schnorr.text_hash(text + "0"), bytes.fromhex(signature))


async def test_a_key_of_ours_works_in_the_official_signer() -> None:
    private = schnorr.private_key("seed:1")
    client = SignerClient("http://127.0.0.1:1", 9, {4: private.to_bytes(40, "little").hex()}, chain_id=304)
    try:
        made, _ = client.create_auth_token_with_expiry(60, api_key_index=4)
        text, _, signature = made.rpartition(":")
        assert schnorr.verify(schnorr.public_key(private), schnorr.text_hash(text), bytes.fromhex(signature))
    finally:
        await client.close()


def test_keys_are_a_function_of_their_seed_and_theirs_derive_alike() -> None:
    assert schnorr.private_key("a") == schnorr.private_key("a") != schnorr.private_key("b")
    for _ in range(3):
        private, public, _ = create_api_key()
        scalar = int.from_bytes(bytes.fromhex(private[2:]), "little")
        assert schnorr.public_key(scalar).hex() == public[2:]


def test_a_signature_of_the_tests_own_signer_is_one() -> None:
    text, _, signature = token(77, 1, 2, 3).rpartition(":")
    assert schnorr.verify(schnorr.public_key(77), schnorr.text_hash(text), bytes.fromhex(signature))
    assert sign(77, schnorr.text_hash(text)) == bytes.fromhex(signature)


def test_bodies_that_are_not_of_their_type_are_refused() -> None:
    for tx_type, info in ((99, b"{}"), (14, b"{}"), (14, b"\xff"), (15, b'{"AccountIndex":"x"}')):
        with pytest.raises(TransactionError):
            transactions.parsed(tx_type, info)
    five = dict.fromkeys(range(1, 6), 1)
    crowded = transactions.CancelAll(
        account_index=1, api_key_index=4, expired_at=0, nonce=0, sig=b"", attributes=five, time_in_force=0, time=0
    )
    with pytest.raises(TransactionError):
        transactions.tx_hash(304, crowded)


@given(quintics, quintics, quintics)
def test_the_extension_is_a_field(a: goldilocks.Quintic, b: goldilocks.Quintic, c: goldilocks.Quintic) -> None:
    assert goldilocks.mul(a, goldilocks.add(b, c)) == goldilocks.add(goldilocks.mul(a, b), goldilocks.mul(a, c))
    assert goldilocks.square(a) == goldilocks.mul(a, a)
    assert goldilocks.add(goldilocks.sub(a, b), b) == a
    if any(a):
        assert goldilocks.mul(a, goldilocks.inverse(a)) == goldilocks.ONE
    assert goldilocks.from_bytes(goldilocks.to_bytes(a)) == a


@given(quintics)
def test_roots_are_roots(a: goldilocks.Quintic) -> None:
    found = goldilocks.root(goldilocks.square(a))
    assert found is not None
    assert found in (a, goldilocks.sub(goldilocks.ZERO, a))
    if any(a):
        assert goldilocks.is_square(goldilocks.square(a))
        assert (goldilocks.root(a) is not None) == goldilocks.is_square(a)


def test_what_is_no_element_or_point_is_said() -> None:
    for data in (b"", b"\xff" * 40):
        with pytest.raises(goldilocks.NotCanonicalError):
            goldilocks.from_bytes(data)
    off_curve = [w for w in range(1, 40) if not _decodes(w)]
    assert off_curve, "about half of all values encode no point"
    assert schnorr.decoded(b"\x00" * 40) == schnorr.NEUTRAL
    assert schnorr.encoded(schnorr.NEUTRAL) == goldilocks.ZERO


def _decodes(w: int) -> bool:
    try:
        point = schnorr.decoded(goldilocks.to_bytes((w, 0, 0, 0, 0)))
    except schnorr.NoPointError:
        return False
    assert schnorr.encoded(point) == (w, 0, 0, 0, 0)
    return True


@settings(max_examples=25)
@given(st.integers(0, schnorr.ORDER - 1), st.integers(0, schnorr.ORDER - 1))
def test_the_group_adds_up(a: int, b: int) -> None:
    g = schnorr.GENERATOR
    total = schnorr.encoded(schnorr.multiplied(((a + b) % schnorr.ORDER, g)))
    assert schnorr.encoded(schnorr.multiplied((a, g), (b, g))) == total
    assert schnorr.encoded(schnorr.multiplied((schnorr.ORDER, g))) == goldilocks.ZERO

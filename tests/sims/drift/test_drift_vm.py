"""A binary behind the node: skipped without solders. The token program, which solders brings, stands in for Drift's."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from twinleg_sims.drift import ed25519
from twinleg_sims.drift.call import Meta
from twinleg_sims.drift.genesis import token_account
from twinleg_sims.drift.keys import made_up
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import Ledger
from twinleg_sims.drift.money import TOKEN_ACCOUNT, TOKEN_PROGRAM
from twinleg_sims.drift.profile import DRIFT
from twinleg_sims.drift.rpc import Rpc
from twinleg_sims.drift.transaction import compiled
from twinleg_sims.drift.vm import RealProgram, VmError

PRIVATE = bytes(range(32))
OWNER = ed25519.public_key(PRIVATE)
GIVER, TAKER, MINT = made_up("giver"), made_up("taker"), made_up("mint")
TRANSFER = b"\3"


@pytest.fixture(name="ledger")
def ledger_of_tokens(tmp_path: Path) -> Ledger:
    """A chain whose program is the token program's binary."""
    litesvm = pytest.importorskip("solders.litesvm", reason="solders is not installed here")
    pubkey = pytest.importorskip("solders.pubkey").Pubkey
    found = litesvm.LiteSVM().get_account(pubkey.from_bytes(TOKEN_PROGRAM))
    binary = tmp_path / "token.so"
    binary.write_bytes(bytes(found.data))
    profile = replace(DRIFT, program=TOKEN_PROGRAM)
    ledger = Ledger(profile, 1000, 1_800_000_000, RealProgram(binary, TOKEN_PROGRAM))
    for address, amount in ((GIVER, 100), (TAKER, 0)):
        ledger.put(address, token_account(MINT, OWNER, amount), TOKEN_PROGRAM)
    ledger.put(OWNER, b"", bytes(32), 10**9)
    return ledger


def transfer(ledger: Ledger, amount: int) -> str:
    metas = [Meta(GIVER, signer=False, writable=True), Meta(TAKER, signer=False, writable=True)]
    metas.append(Meta(OWNER, signer=True, writable=True))
    data = TRANSFER + amount.to_bytes(8, "little")
    raw = compiled(metas, TOKEN_PROGRAM, data, ledger.blockhash(ledger.clock.slot), bytes(64))
    return b64encode(b"\1" + ed25519.signed(PRIVATE, raw[65:]) + raw[65:]).decode()


def amounts(ledger: Ledger) -> list[int]:
    return [Record(TOKEN_ACCOUNT, ledger.held[address].data)["amount"] for address in (GIVER, TAKER)]


def land(ledger: Ledger) -> None:
    for waiting in ledger.waiting:
        ledger.land(waiting)
    ledger.waiting = []


def test_a_transaction_goes_through_the_binary(ledger: Ledger) -> None:
    rpc = Rpc(ledger)
    body = b'{"id":1,"method":"sendTransaction","params":["%s",{"encoding":"base64"}]}'
    assert b'"result"' in rpc.answer(body % transfer(ledger, 30).encode())
    assert amounts(ledger) == [100, 0], "a preflight moves nothing"
    land(ledger)
    assert amounts(ledger) == [70, 30]
    (done,) = ledger.done.values()
    assert any("Instruction: Transfer" in line for line in done.result.logs)


def test_what_the_binary_refuses_is_refused_with_its_code(ledger: Ledger) -> None:
    rpc = Rpc(ledger)
    body = b'{"id":1,"method":"sendTransaction","params":["%s",{"encoding":"base64"}]}'
    assert b'{"InstructionError":[0,{"Custom":1}]}' in rpc.answer(body % transfer(ledger, 300).encode())
    land(ledger)
    assert amounts(ledger) == [100, 0]


def test_a_binary_that_is_none_is_refused(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.so"
    nothing.write_bytes(b"nothing")
    with pytest.raises(VmError):
        RealProgram(nothing, TOKEN_PROGRAM)

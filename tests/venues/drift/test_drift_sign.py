"""Keys and signed transactions; what the programs logged, read back."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from twinleg.venues.drift import facts
from twinleg.venues.drift.chain import ed25519, events, keys
from twinleg.venues.drift.chain.events import OrderAction, OrderPlaced, read_logs
from twinleg.venues.drift.chain.instructions import Instruction, Meta
from twinleg.venues.drift.sign import Budget, Recent, Wallet
from venues.drift.case import DATA

SEED = bytes(range(32))
KEYPAIR = SEED + ed25519.Key(SEED).public
PROGRAMS = {"drift_2024": facts.DRIFT_V2, "velocity_202608": facts.VELOCITY}


def recorded(name: str) -> Any:
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


@pytest.mark.parametrize("text", [keys.base58(KEYPAIR), json.dumps(list(KEYPAIR)), f" {keys.base58(KEYPAIR)}\n"])
def test_both_spellings_of_a_key_are_read(text: str) -> None:
    wallet = Wallet(text, facts.DRIFT_V2)
    assert wallet.signer == KEYPAIR[32:]
    assert keys.base58(KEYPAIR) not in repr(wallet)
    assert SEED.hex() not in repr(vars(wallet))


@pytest.mark.parametrize(
    "text", ["", "x" * 88, keys.base58(SEED), "[1,2]", "[300]", "[", keys.base58(SEED + bytes(32)), "0x" + "ab" * 32]
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="Drift key") as refused:
        Wallet(text, facts.DRIFT_V2)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("name", PROGRAMS)
def test_accounts_are_where_the_program_keeps_them(name: str) -> None:
    """The golden recordings' user accounts are at the addresses of their authorities."""
    golden = recorded(f"svm_golden_{name}")
    wallet = Wallet(keys.base58(KEYPAIR), PROGRAMS[name], authority=keys.address(golden["authority"]))
    assert keys.base58(wallet.user) == golden["user"]
    other = Wallet(keys.base58(KEYPAIR), PROGRAMS[name], 3, keys.address(golden["authority"]))
    assert other.user != wallet.user
    assert other.user_stats == wallet.user_stats


def test_a_transaction_is_signed_for_its_blockhash() -> None:
    wallet = Wallet(keys.base58(KEYPAIR), facts.DRIFT_V2)
    wallet.load()
    instruction = Instruction(facts.DRIFT_V2.program_id, (Meta(wallet.signer, signer=True),), b"\1\2\3")
    one = wallet.transaction([instruction], Budget(200_000, 5), Recent(bytes([7]) * 32, 1, 1), [])
    same = wallet.transaction([instruction], Budget(200_000, 5), Recent(bytes([7]) * 32, 9, 9), [])
    other = wallet.transaction([instruction], Budget(200_000, 5), Recent(bytes([8]) * 32, 1, 1), [])
    assert one == same != other
    wire = base64.b64decode(one.wire)
    assert wire[0] == 1
    assert keys.base58(wire[1:65]) == one.signature
    assert bytes([7]) * 32 in wire
    with pytest.raises(ValueError, match="sub-accounts"):
        Wallet(keys.base58(KEYPAIR), facts.DRIFT_V2, 2**16)


@pytest.mark.parametrize(("name", "fills"), [("drift_2024", 6), ("velocity_202608", 1)])
def test_what_the_real_programs_logged_is_read(name: str, fills: int) -> None:
    golden, profile = recorded(f"svm_golden_{name}"), PROGRAMS[name]
    told = []
    for step in golden["steps"]:
        logged = read_logs(step["logs"], golden["program_id"], profile.layout)
        assert logged.whole
        told += logged.records
    filled = [row for row in told if isinstance(row, OrderAction) and row.action == events.FILL]
    assert 1 <= len(filled) <= fills
    assert all(row.base and row.quote and row.fill_record_id is not None for row in filled)
    placed = [row for row in told if isinstance(row, OrderPlaced)]
    assert placed
    assert {keys.base58(row.user) for row in placed} == {golden["user"]}
    assert all(row.order.status == 1 and row.order.order_id for row in placed)


def test_mainnets_logs_and_fragments_are_read() -> None:
    program = keys.base58(facts.DRIFT_V2.program_id)
    told = [
        [type(row).__name__ for row in read_logs(lines, program, facts.DRIFT_V2.layout).records]
        for lines in recorded("drift_v2_program_logs")["drift-rs"]
    ]
    assert [len(rows) for rows in told] == [7, 2, 5, 0]
    assert told[1] == ["OrderAction", "OrderAction"]


def test_other_programs_and_broken_records_do_no_harm() -> None:
    program = keys.base58(facts.DRIFT_V2.program_id)
    step = next(
        one for one in recorded("svm_golden_drift_2024")["steps"]
        if read_logs(one["logs"], program, facts.DRIFT_V2.layout).records
    )  # fmt: skip
    lines = step["logs"]
    assert read_logs(lines, keys.base58(facts.VELOCITY.program_id), facts.DRIFT_V2.layout) == ([], True)
    index, line = next((i, one) for i, one in enumerate(lines) if len(one) > 100 and " " not in one.partition(": ")[2])
    text = line.partition(": ")[2]
    short = base64.b64encode(base64.b64decode(text)[:30]).decode()
    whole = read_logs(lines, program, facts.DRIFT_V2.layout)
    cut = read_logs([*lines[:index], f"Program data: {short}", *lines[index:]], program, facts.DRIFT_V2.layout)
    assert (cut.records, cut.whole) == (whole.records, False)
    assert not read_logs([*lines[:3], "Log truncated"], program, facts.DRIFT_V2.layout).whole
    for junk in ("Program data: !!!", "Program log: hello you", "Program log: AAAAAAAAAAAAAAAA", "Program data: "):
        assert read_logs([*lines[:index], junk, *lines[index:]], program, facts.DRIFT_V2.layout) == whole

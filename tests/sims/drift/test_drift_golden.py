"""The program repeats, step by step, what the real ones answered: result code, events, and the user's account."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from drift_recorded import recorded

from twinleg_sims.drift.accounts_v2 import LAZER_ORACLE
from twinleg_sims.drift.borsh import Reader
from twinleg_sims.drift.call import Call, Clock, Meta
from twinleg_sims.drift.keys import discriminator, key
from twinleg_sims.drift.layout import Record, decoded
from twinleg_sims.drift.profile import DRIFT, VELOCITY, Profile
from twinleg_sims.drift.program import run

OLD_DRIFT = replace(DRIFT, derives_auctions=False, amm_waits_auction=True, event_tail=False, posted_slot_tail=False)
"""The build of October 2024 that was recorded: no auctions of its own, the AMM waits."""
EVENTS = {discriminator("event", name) for name in ("OrderRecord", "OrderActionRecord")}
REPOSTED_FROM_STEP = {"svm_golden_velocity_202608": 24}
"""The keeper's fills met an oracle posted in their own slot: the recorded market shows a delay of 0."""


@dataclass
class Bank:
    """Accounts by address; a failed step leaves them as they were."""

    held: dict[bytes, bytearray]
    program: bytes
    saved: dict[bytes, bytes] = field(default_factory=dict)

    def data(self, address: bytes) -> bytearray | None:
        return self.held.get(address)

    def owner(self, address: bytes) -> bytes | None:
        return self.program if address in self.held else None

    def create(self, address: bytes, data: bytearray, owner: bytes) -> None:
        assert owner == self.program
        self.held[address] = data

    def save(self) -> None:
        self.saved = {address: bytes(data) for address, data in self.held.items()}

    def restore(self) -> None:
        for address, raw in self.saved.items():
            self.held[address][:] = raw


def replayed(name: str, profile: Profile) -> list[tuple[dict[str, Any], int | None, Call, Bank]]:
    golden = recorded(name)
    rows = golden.get("initial_accounts_b64_owner") or golden["initial_accounts_b64"]
    held = {key(a): bytearray(b64decode(row if isinstance(row, str) else row[0])) for a, row in rows.items()}
    bank = Bank(held, profile.program)
    answers = []
    for number, step in enumerate(golden["steps"]):
        if number >= REPOSTED_FROM_STEP.get(name, 10**9):
            for data in bank.held.values():
                oracle = profile.record(LAZER_ORACLE, data)
                if oracle is not None:
                    oracle["posted_slot"] = step["slot"]
        metas = [Meta(key(address), signer, writable) for address, signer, writable in step["accounts"]]
        raw = b64decode(step["ix_data_b64"])
        call = Call(profile, bank, metas, Reader(raw[8:]), Clock(step["slot"], step["unix_timestamp"]))
        bank.save()
        code = run(call, raw[:8])
        if code is not None:
            bank.restore()
        answers.append((step, code, call, Bank({a: bytearray(d) for a, d in bank.held.items()}, profile.program)))
    return answers


def code_of(step: dict[str, Any]) -> int | None:
    return None if step["ok"] else int(step["err"].split("InstructionErrorCustom(")[1].split(")")[0])


def events_of(logs: list[str]) -> list[bytes]:
    found = []
    for line in logs:
        words = line.removeprefix("Program log: ")
        if line.startswith("Program log: ") and " " not in words and len(words) > 60:
            found.append(b64decode(words))
    return [raw for raw in found if raw[:8] in EVENTS]


RUNS = [("svm_golden_drift_2024", OLD_DRIFT, 24), ("svm_golden_velocity_202608", VELOCITY, 30)]
CASES = [pytest.param(*run_, step, id=f"{run_[0]}-{step}") for run_ in RUNS for step in range(run_[2])]
ANSWERS: dict[str, list[tuple[dict[str, Any], int | None, Call, Bank]]] = {}


@pytest.mark.parametrize(("name", "profile", "count", "number"), CASES)
def test_a_step_is_answered_as_recorded(name: str, profile: Profile, count: int, number: int) -> None:
    if name not in ANSWERS:
        ANSWERS[name] = replayed(name, profile)
    assert len(ANSWERS[name]) == count
    step, code, call, bank = ANSWERS[name][number]
    assert code == code_of(step), call.logs
    if step["ok"]:
        assert [raw.hex() for raw in events_of(call.logs)] == [raw.hex() for raw in events_of(step["logs"])]
    user = key(recorded(name)["user"])
    ours = decoded(Record(profile.user, bank.held[user]))
    assert ours == decoded(Record(profile.user, bytearray(b64decode(step["user_after_b64"]))))
    assert bytes(bank.held[user]) == b64decode(step["user_after_b64"])


def market_words(
    name: str, profile: Profile, number: int, words: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, int]]:
    step, _, _, bank = (ANSWERS.get(name) or ANSWERS.setdefault(name, replayed(name, profile)))[number]
    address = key(step["perp_market"]) if "perp_market" in step else profile.perp_market_key(0)
    ours = Record(profile.perp_market, bank.held[address])
    theirs = Record(profile.perp_market, bytearray(b64decode(step["perp_market_after_b64"])))
    return {word: ours[word] for word in words}, {word: theirs[word] for word in words}


WORDS = (
    "base_asset_amount_long", "base_asset_amount_short", "base_asset_amount_with_amm", "number_of_users_with_base",
    "base_asset_reserve", "quote_asset_reserve", "peg_multiplier", "ask_base_asset_reserve", "ask_quote_asset_reserve",
    "last_oracle_price", "last_oracle_price_twap", "last_oracle_price_twap_5min", "next_fill_record_id",
    "last_update_slot",
)  # fmt: skip


@pytest.mark.parametrize(("name", "profile", "number"), [(*RUNS[0][:2], 22), (*RUNS[1][:2], 27)])
def test_the_market_after_the_fill_is_the_recorded_one(name: str, profile: Profile, number: int) -> None:
    ours, theirs = market_words(name, profile, number, WORDS)
    assert ours == theirs

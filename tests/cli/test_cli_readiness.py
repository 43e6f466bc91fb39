"""What doctor finds of accounts, against simulated venues that verify every signature."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_process import NOBODY, environment, twinleg

from journal_samples import closed, hedged, written
from twinleg.cli.exits import OK, REFUSED, UNREACHABLE, CommandError
from twinleg.cli.findings import Checked, Verdict
from twinleg.cli.looking import doors, listings
from twinleg.cli.readiness import account_findings, live_findings, require_live
from twinleg.core.messages import Market
from twinleg.core.trading import Lane, SendVerdict
from twinleg.runtime.consent import accept
from twinleg.runtime.journal_file import FILE_NAME
from twinleg.runtime.settings import Settings
from twinleg.runtime.settings_load import load
from twinleg.runtime.traders import traders_of
from twinleg.venues.lighter.sign import OrderFields
from twinleg.venues.lighter.trading import LighterTrading

WAIT_S = 15.0
CAPS = {"MAX_POSITION_SIZE_USD": "100", "MAX_ORDER_SIZE_USD": "100", "TRADING_MODE": "live"}


@pytest.fixture(scope="module")
def given() -> Iterator[dict[str, str]]:
    """Settings with the keys of an account at each simulated venue."""
    command = [sys.executable, "-m", "twinleg_sims", "--port-base", "0", "--assets", "4", "--rate-limits", "off"]
    command += ["--end-with-stdin", "--verify-signatures", "all"]
    command += ["--account", "lighter:equity_usd=5000", "--account", "extended:equity_usd=4000"]
    command += ["--account", "lighter:equity_usd=3000"]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        ready = json.loads(child.stdout.readline())
        lighter, extended, another = ready["accounts"]
        yield {
            "LIGHTER_BASE_URL": ready["lighter"]["rest"],
            "LIGHTER_WS_URL": ready["lighter"]["stream"],
            "EXTENDED_BASE_URL": ready["extended"]["rest"],
            "EXTENDED_STREAM_URL": ready["extended"]["stream"],
            "LIGHTER_ACCOUNT_INDEX": str(lighter["account_index"]),
            "LIGHTER_API_KEY_INDEX": "4",
            "LIGHTER_PRIVATE_KEY": lighter["api_private_keys"]["4"],
            "TWINLEG_LIGHTER_KEY_5": lighter["api_private_keys"]["5"],
            "EXTENDED_API_KEY": extended["api_key"],
            "EXTENDED_PRIVATE_KEY": extended["private_key"],
            "ANOTHER_INDEX": str(another["account_index"]),
            "ANOTHER_KEY": another["api_private_keys"]["4"],
        }
        child.terminate()


def settings(folder: Path, given: dict[str, str], **more: str) -> Settings:
    named = {**given, "TWINLEG_DATA_DIR": str(folder / "data"), **more}
    return load(environ=named, read_files=False).settings


def bad(findings: list[Checked]) -> list[tuple[str, Verdict, int]]:
    assert all(one.do for one in findings if one.verdict is not Verdict.OK)
    return [(one.check, one.verdict, one.exit_code) for one in findings if one.verdict is not Verdict.OK]


async def test_accounts_in_order_are_found_so(tmp_path: Path, given: dict[str, str]) -> None:
    found = await account_findings(settings(tmp_path, given, LIGHTER_MAX_API_KEY_INDEX="5"), WAIT_S)
    assert bad(found) == []
    said = {one.check: one.found for one in found}
    for venue, equity in (("lighter", "5,000"), ("extended", "4,000")):
        assert equity in said[f"{venue}: balance"]
        assert said[f"{venue}: positions"] == "none"
        assert said[f"{venue}: orders"] == "0 open, none of others"
        assert "taker" in said[f"{venue}: fees"]
        assert "TWINLEG_LEVERAGE is 3" in said[f"{venue}: leverage"]
    assert said["lighter: keys"].startswith("4, 5 registered")
    assert "extended:" in said["extended: leverage"]


async def test_nothing_is_asked_without_keys(tmp_path: Path) -> None:
    assert await account_findings(settings(tmp_path, {}, LIGHTER_BASE_URL=NOBODY), WAIT_S) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"LIGHTER_PRIVATE_KEY": "ab" * 40}, [("lighter: keys", Verdict.FAIL, REFUSED)]),
        ({"LIGHTER_API_KEY_INDEX": "9"}, [("lighter: keys", Verdict.FAIL, REFUSED)]),
        ({"EXTENDED_VAULT": "123"}, [("extended: keys", Verdict.FAIL, REFUSED)]),
        ({"EXTENDED_PRIVATE_KEY": "0x123"}, [("extended: keys", Verdict.FAIL, REFUSED)]),
        ({"EXTENDED_API_KEY": "nobodys"}, [("extended: keys", Verdict.FAIL, REFUSED)]),
        ({"EXTENDED_API_KEY": "nobodys", "EXTENDED_VAULT": "123"}, [("extended: keys", Verdict.FAIL, REFUSED)]),
        ({"MIN_ACCOUNT_BALANCE_USD": "4500"}, [("extended: balance", Verdict.WARN, OK)]),
        ({"MIN_REQUIRED_AVAILABLE_USD": "4500"}, [("extended: balance", Verdict.WARN, OK)]),
        ({"EXTENDED_BASE_URL": NOBODY}, [("extended: keys", Verdict.FAIL, UNREACHABLE)]),
        ({"LIGHTER_BASE_URL": NOBODY}, [("lighter: keys", Verdict.FAIL, UNREACHABLE)]),
    ],
)
async def test_what_is_wrong_with_an_account(
    tmp_path: Path, given: dict[str, str], changed: dict[str, str], found: list[Any]
) -> None:
    findings = await account_findings(settings(tmp_path, given, **changed), WAIT_S)
    assert bad(findings) == found
    secrets = {
        given["LIGHTER_PRIVATE_KEY"],
        given["EXTENDED_API_KEY"],
        given["EXTENDED_PRIVATE_KEY"].removeprefix("0x"),
    }
    assert not any(secret in f"{one.found}{one.do}" for one in findings for secret in secrets)


async def test_a_journal_that_cannot_be_trusted_is_a_finding(tmp_path: Path, given: dict[str, str]) -> None:
    written(tmp_path / "data", [*hedged("T000001"), *hedged("T000001")])
    assert bad(await account_findings(settings(tmp_path, given), WAIT_S)) == [("journal", Verdict.FAIL, REFUSED)]


async def test_live_needs_consent_and_then_passes(tmp_path: Path, given: dict[str, str]) -> None:
    chosen = settings(tmp_path, given, **CAPS)
    assert bad(await live_findings(chosen, WAIT_S)) == [("live consent", Verdict.FAIL, REFUSED)]
    accept(chosen, 1)
    assert bad(await live_findings(chosen, WAIT_S)) == []


def test_doctor_as_a_process(tmp_path: Path, given: dict[str, str]) -> None:
    live = {**given, **CAPS, "EXTENDED_API_KEY": "nobodys"}
    done = twinleg(tmp_path, "doctor", "--wait", "2", "--json", **live)
    findings = json.loads(done.stdout)
    checks = {one["check"]: one["verdict"] for one in findings["findings"]}
    assert (checks["live consent"], checks["extended: keys"]) == ("fail", "fail")
    assert (done.returncode, findings["exit_code"]) == (REFUSED, REFUSED)


async def test_live_starts_only_when_nothing_is_wrong(tmp_path: Path, given: dict[str, str]) -> None:
    chosen = settings(tmp_path, given, **CAPS)
    with pytest.raises(CommandError, match="nobody has agreed") as refused:
        await require_live(chosen, WAIT_S)
    assert refused.value.code == REFUSED
    accept(chosen, 1)
    assert bad(await require_live(chosen, WAIT_S)) == []


async def test_a_venue_that_is_down_keeps_live_from_starting_unless_trades_are_open(
    tmp_path: Path, given: dict[str, str]
) -> None:
    down = settings(tmp_path, given, **CAPS, LIGHTER_BASE_URL=NOBODY)
    accept(down, 1)
    written(down.journal_dir, closed("T000001"))
    with pytest.raises(CommandError) as refused:
        await require_live(down, WAIT_S)
    assert refused.value.code == UNREACHABLE
    (down.journal_dir / FILE_NAME).unlink()
    written(down.journal_dir, hedged("T000001"))
    assert ("lighter: keys", Verdict.FAIL, UNREACHABLE) in bad(await require_live(down, WAIT_S))


async def test_what_is_not_of_our_trades_is_said(tmp_path: Path, given: dict[str, str]) -> None:
    """The journal holds an ETH trade that these accounts know nothing of."""
    written(tmp_path / "data", hedged("T000001"))
    found = await account_findings(settings(tmp_path, given), WAIT_S)
    assert bad(found) == [("lighter: positions", Verdict.WARN, OK), ("extended: positions", Verdict.WARN, OK)]
    assert "lighter:ETH: the venue shows 0 lots, our journal 1000" in [one.found for one in found]


async def test_orders_of_others_are_said(tmp_path: Path, given: dict[str, str]) -> None:
    """An order with a number below ours, as another program would name it."""
    own = {"LIGHTER_ACCOUNT_INDEX": given["ANOTHER_INDEX"], "LIGHTER_PRIVATE_KEY": given["ANOTHER_KEY"]}
    chosen = settings(tmp_path, given, EXTENDED_API_KEY="", EXTENDED_PRIVATE_KEY="", **own)
    markets: dict[str, Market] = {}
    async with doors() as ways:
        for listed in (await listings(chosen, ways, WAIT_S)).values():
            assert not isinstance(listed, str)
            markets |= {market.key: market for market in listed.markets}
        (venue,) = traders_of(chosen, markets)
        assert isinstance(venue, LighterTrading)
        market = markets["lighter:ETH"]
        request, number_in = venue.next_number("4", ways.clock.wall_ms())
        lane = Lane("4", number_in((await ways.net.request(request, 10_000)).body))
        now_ms = ways.clock.wall_ms()
        book = ways.net.request(
            msgspec.structs.replace(
                request, url=f"{given['LIGHTER_BASE_URL']}/api/v1/orderBookOrders?market_id={market.native_id}&limit=1"
            ),
            10_000,
        )
        bid = json.loads((await book).body)["bids"][0]["price"]
        price = market.price_grid.parse(bid) * 9 // 10
        order = OrderFields(
            market_index=int(market.native_id),
            client_order_index=7,
            base_amount=market.min_size_lots * 20 * market.size_grid.step,
            price=price * market.price_grid.step,
            is_ask=False,
            order_type=0,
            time_in_force=2,
            reduce_only=False,
            trigger_price=0,
            expiry_ms=now_ms + 3_600_000,
        )
        signed = venue.sign_order("", order, lane, now_ms)
        reply = await ways.net.request(signed.request, 10_000)
        assert venue.read_reply(signed, reply.status, reply.body).verdict is SendVerdict.ACCEPTED, reply
    for _ in range(100):
        found = await account_findings(chosen, WAIT_S)
        if bad(found):
            break
    assert bad(found) == [("lighter: orders", Verdict.WARN, OK)]
    assert "1 of 1 open orders are none of ours (lighter:ETH)" in [one.found for one in found]

"""Mutated bytes into every venue's private side: nothing raises but WireError, and nothing is made up."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from twinleg.core.trading import AccountSnapshot, ExecutionSeen, Incident, OrderSeen, PositionSeen, SendVerdict
from twinleg.core.venue import WireError
from venues.battery import START_MS
from venues.trading_battery import (
    OURS,
    AccountLine,
    TradingCase,
    a_balance,
    a_fill,
    a_position,
    an_intent,
    an_order,
    lane_of,
    trading_cases,
)

MUTANTS = 300
SPLICES = (
    b"null",
    b"-1",
    b"1e400",
    b'"',
    b"[]",
    b"{}",
    b"true",
    b"0",
    b"99999999999999999999",
    b"\xff",
    b"\\ud800",
    b"",
)


@pytest.fixture(params=trading_cases(), ids=lambda case: case.markets[0].venue)
def case(request: pytest.FixtureRequest) -> TradingCase:
    found: TradingCase = request.param
    return found


def mutants(text: bytes, seed: int, count: int = MUTANTS) -> Iterator[bytes]:
    """`text` with a piece of it lost, doubled, changed or replaced by something worse."""
    dice = random.Random(seed)
    for _ in range(count):
        start = dice.randrange(len(text))
        end = min(len(text), start + dice.choice((1, 1, 2, 5, 20)))
        middle = dice.choice((b"", text[start:end] * 2, dice.randbytes(end - start), dice.choice(SPLICES)))
        yield text[:start] + middle + text[end:]


@pytest.mark.parametrize("seed", range(3))
def test_no_answer_raises_and_only_a_200_is_a_yes(case: TradingCase, seed: int) -> None:
    venue, market = case.venue(), case.markets[0]
    signed = venue.sign(an_intent(market), market, lane_of(venue), START_MS)
    texts = [case.accepted(signed), *(body for _, body in case.refusals + case.doubts if body)]
    for index, text in enumerate(texts):
        for mutant in mutants(text, seed * 1_000 + index):
            for status in (None, 200, 400, 401, 404, 429, 500):
                outcome = venue.read_reply(signed, status, mutant)
                assert len(outcome.reason) < 300
                assert outcome.verdict is not SendVerdict.ACCEPTED or status == 200


@pytest.mark.parametrize("seed", range(3))
def test_reads_raise_wire_errors_only(case: TradingCase, seed: int) -> None:
    venue, market = case.venue(), case.markets[0]
    reads = [
        (venue.open_orders(START_MS), case.bodies.orders([an_order(market), an_order(market, venue_order_id="5")])),
        (venue.fills(START_MS - 60_000, START_MS), case.bodies.fills([a_fill(market), a_fill(market, fill_id="5")])),
        (venue.positions(START_MS), case.bodies.positions([a_position(market, 700)])),
        (venue.balance(START_MS), case.bodies.balance(a_balance(market))),
        *zip(venue.order(OURS, market, START_MS), case.bodies.order([an_order(market)], [a_fill(market)]), strict=True),
    ]
    refused = 0
    for index, (read, body) in enumerate(reads):
        for mutant in mutants(body, seed * 1_000 + index):
            try:
                events = read.parse(mutant, START_MS)
                if read.more is not None:
                    read.more(mutant)
            except WireError:
                refused += 1
                continue
            for row in (row for event in events if isinstance(event, AccountSnapshot) for row in event.rows):
                assert row.venue == market.venue
    assert refused > MUTANTS


@pytest.mark.parametrize("seed", range(3))
def test_no_frame_raises(case: TradingCase, seed: int) -> None:
    market = case.markets[0]
    said = [
        lambda server: server.order(an_order(market)),
        lambda server: server.fill(a_fill(market)),
        lambda server: server.position(a_position(market, 700)),
        lambda server: server.balance(a_balance(market)),
        lambda server: server.strange(),
        lambda server: server.greet(),
    ]
    for index, say in enumerate(said):
        frames = [frame for server in AccountLine(case).open().servers for frame in say(server)]
        for frame in frames:
            for mutant in mutants(frame, seed * 1_000 + index, MUTANTS // 3):
                line = AccountLine(case).open()
                for event in line.deliver(mutant):
                    if isinstance(event, OrderSeen | ExecutionSeen | PositionSeen):
                        assert event.market in {each.key for each in case.markets}, mutant
                    if isinstance(event, Incident):
                        assert len(event.detail) <= 300
                line.push(lambda server: server.fill(a_fill(market)))

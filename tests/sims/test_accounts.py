"""Outside accounts of a venue: orders, fills, margin, funding. Every identity holds to the micro-dollar."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twinleg_sims.account import Account, Mirror, Report, Tier
from twinleg_sims.accounts import Accounts, Rules
from twinleg_sims.faults import FaultRequest, Faults
from twinleg_sims.funding import HOUR_MS
from twinleg_sims.liquidation import LiquidationRules
from twinleg_sims.margin import MarginRules, cost
from twinleg_sims.orders import OwnOrder, Trigger, Wish
from twinleg_sims.positions import MICRO
from twinleg_sims.world import World

START_MS = 1_795_197_000_000
TIER = Tier(taker_ppm=250, maker_ppm=20, taker_delay_ms=200, maker_delay_ms=0)
RULES = Rules(
    MarginRules(lambda market, _: 500_000 // market.listing.max_leverage, lambda market: 1_000_000 // 10),
    LiquidationRules(slices=5, slice_min_micro=1_000 * MICRO, fill_or_kill=True, worse_ppm=50_000, fee_ppm=0),
)


class Desk:
    """One world, one venue's accounts and one of them."""

    def __init__(self, equity_usd: int = 100_000, venue: str = "extended", start_ms: int = START_MS) -> None:
        self.world = World(7, 3, start_ms)
        self.faults = Faults()
        self.accounts = Accounts(self.world, venue, RULES, self.faults)
        self.account = self.accounts.create(TIER, equity_usd * MICRO)
        self.market = self.world.market(venue, "BTC-USD" if venue == "extended" else "BTC")

    def run(self, ms: int) -> None:
        self.world.advance(self.world.now_ms + ms)

    def place(self, side: str, away: int, lots: int, tif: str = "gtt", **wish: object) -> OwnOrder:
        """`away`: ticks beyond the opposite best price (negative: on our own side of it)."""
        book = self.market.book
        ticks = book.best("ask") + away if side == "bid" else book.best("bid") - away  # type: ignore[operator]
        return self.accounts.place(self.account, Wish(self.market, side, ticks, lots, tif, **wish))  # type: ignore[arg-type]

    def hold(self, lots: int) -> None:
        """Buy (sell) at whatever price."""
        self.place("bid" if lots > 0 else "ask", 2_000, abs(lots), "ioc")
        self.run(250)
        assert self.account.lots(self.market.symbol) == lots

    def fault(self, kind: str, value: str = "", for_s: float | None = None) -> None:
        self.faults.add(FaultRequest(kind, self.accounts.venue, for_s=for_s, value=value), self.world.now_ms)


def check_identity(account: Account, reports: list[Report]) -> None:
    """The balance is what came in, plus every fill's profit and fee and every payment; reports and account agree."""
    mirror = Mirror()
    for report in reports:
        mirror.add(report, 0)
    mirror.advance(1)
    assert mirror.balance_micro == account.balance_micro
    assert {s: p.lots for s, p in mirror.positions.items()} == {s: p.lots for s, p in account.positions.items()}
    stays = [*mirror.closed, *mirror.positions.values()]
    earned = sum(position.realised_micro for position in stays)
    assert account.balance_micro == account.deposited_micro + account.insured_micro + earned
    fees = sum(fill.fee_micro for fill in mirror.fills)
    assert sum(p.open_fees_micro + p.close_fees_micro for p in stays) == fees
    assert sum(p.funding_micro for p in stays) == sum(payment.paid_micro for payment in mirror.payments)
    flow = sum((1 if f.side == "ask" else -1) * f.value_micro for f in mirror.fills)
    still = sum((1 if p.lots > 0 else -1) * p.cost_micro for p in account.positions.values())
    assert sum(p.trade_pnl_micro for p in stays) == flow + still


def test_an_ioc_is_decided_after_the_delay_and_pays_the_taker_fee() -> None:
    desk = Desk()
    desk.account.reports.clear()
    order = desk.place("bid", 50, 20_000, "ioc")
    desk.run(199)
    assert (order.state, list(desk.account.reports)) == ("pending", [])
    desk.run(1)
    [report] = desk.account.reports
    assert [(o.state, o.filled_lots) for o in report.orders] == [("filled", 20_000)]
    assert sum(fill.lots for fill in report.fills) == 20_000
    assert all(fill.is_taker and fill.fee_micro == fill.value_micro * 250 // 1_000_000 for fill in report.fills)
    assert [p.lots for p in report.positions] == [20_000]
    check_identity(desk.account, [Report(100, 0, 0), *desk.account.reports])


def test_a_resting_order_is_filled_by_the_world_s_takers_at_the_maker_fee() -> None:
    desk = Desk()
    order = desk.place("bid", -1, 100_000, "post_only")
    while order.state in ("pending", "open") and desk.world.now_ms < START_MS + 600_000:
        desk.run(250)
    assert order.state == "filled"
    mirror = mirrored(desk)
    assert {fill.is_taker for fill in mirror.fills} == {False}
    assert {fill.ticks for fill in mirror.fills} == {order.ticks}
    assert order.fee_micro == sum(fill.value_micro * 20 // 1_000_000 for fill in mirror.fills)
    states = [o.state for report in desk.account.reports for o in report.orders]
    assert (states[0], states[-1]) == ("open", "filled")
    check_identity(desk.account, list(desk.account.reports))


def mirrored(desk: Desk) -> Mirror:
    mirror = Mirror()
    for report in desk.account.reports:
        mirror.add(report, 0)
    mirror.advance(1)
    return mirror


def test_a_post_only_order_that_would_cross_is_refused() -> None:
    desk = Desk()
    order = desk.place("bid", 0, 100, "post_only")
    desk.run(1)
    assert (order.state, order.reason, order.filled_lots) == ("cancelled", "post_only", 0)


def test_reduce_only_never_turns_a_position() -> None:
    desk = Desk()
    nothing = desk.place("ask", 50, 10, "ioc", reduce_only=True)
    desk.run(250)
    assert (nothing.state, nothing.reason) == ("rejected", "reduce_only")
    desk.hold(1_000)
    same_side = desk.place("bid", 50, 10, "ioc", reduce_only=True)
    too_much = desk.place("ask", 2_000, 5_000, "ioc", reduce_only=True)
    desk.run(250)
    assert (same_side.state, same_side.reason) == ("rejected", "reduce_only")
    assert (too_much.state, too_much.filled_lots, too_much.cut_lots) == ("filled", 1_000, 4_000)
    assert desk.account.positions == {}


def test_resting_reduce_only_orders_shrink_with_the_position() -> None:
    desk = Desk()
    desk.hold(1_000)
    first = desk.place("ask", -400, 800, reduce_only=True)
    second = desk.place("ask", -500, 1_000, reduce_only=True)
    desk.run(250)
    assert (first.open_lots, second.open_lots) == (800, 1_000)
    desk.place("ask", 2_000, 700, "ioc")
    desk.run(250)
    assert (first.open_lots, second.open_lots) == (300, 300)
    assert desk.market.book.order(first.engine_id).lots == 300  # type: ignore[union-attr]
    desk.market.book.hit(first.engine_id, 300, desk.world.now_ms)
    assert (first.state, second.state, second.reason) == ("filled", "cancelled", "reduce_only")
    assert desk.market.book.order(second.engine_id) is None
    check_identity(desk.account, list(desk.account.reports))


def test_an_order_without_margin_is_rejected_and_closing_needs_none() -> None:
    desk = Desk(equity_usd=100)
    too_big = desk.place("bid", 10, 5_000, "ioc")
    desk.run(250)
    assert (too_big.state, too_big.reason) == ("rejected", "margin")
    desk.hold(1_000)
    assert desk.accounts.figures(desk.account).available < 40 * MICRO
    closing = desk.place("ask", 2_000, 1_000, "ioc")
    desk.run(250)
    assert closing.state == "filled"


def test_resting_orders_reserve_margin_once_per_side() -> None:
    desk = Desk(equity_usd=1_000)
    desk.place("bid", -500, 5_000)
    desk.run(250)
    one_side = desk.accounts.figures(desk.account)
    desk.place("ask", -500, 5_000)
    desk.run(250)
    assert desk.accounts.figures(desk.account).initial == pytest.approx(one_side.initial, rel=1e-3)
    assert one_side.initial > 0


def test_cancelling_and_cancelling_what_is_gone() -> None:
    desk = Desk()
    answers: list[bool] = []
    order = desk.place("bid", -500, 100)
    desk.run(250)
    desk.accounts.cancel(desk.account, order, answers.append)
    desk.accounts.cancel(desk.account, order, answers.append)
    desk.run(1)
    assert (order.state, order.reason, answers) == ("cancelled", "user", [True, False])
    assert desk.market.book.order(order.engine_id) is None
    assert desk.account.orders == {}


@pytest.mark.parametrize(("value", "filled", "state"), [("all", 100, "filled"), ("half", 50, "cancelled")])
def test_a_fill_overtakes_a_cancel(value: str, filled: int, state: str) -> None:
    desk = Desk()
    order = desk.place("bid", -500, 100)
    desk.run(250)
    desk.fault("cancel_race", value)
    desk.accounts.cancel(desk.account, order)
    desk.run(1)
    assert (order.state, order.filled_lots) == (state, filled)
    assert desk.account.lots("BTC-USD") == filled


def test_a_modified_order_keeps_its_place_only_when_it_shrinks() -> None:
    desk = Desk()
    order = desk.place("bid", -500, 100)
    desk.run(250)
    engine_id = order.engine_id
    desk.accounts.modify(desk.account, order, Wish(desk.market, "bid", order.ticks, 60))
    desk.run(250)
    assert (order.engine_id, order.open_lots, order.version) == (engine_id, 60, 1)
    desk.accounts.modify(desk.account, order, Wish(desk.market, "bid", order.ticks - 1, 80))
    desk.run(250)
    resting = desk.market.book.order(order.engine_id)
    assert resting is not None
    assert (order.engine_id != engine_id, resting.lots, resting.ticks) == (True, 80, order.ticks)


def test_an_order_takes_another_s_place_or_none() -> None:
    desk = Desk()
    old = desk.place("bid", -500, 100)
    desk.run(250)
    wish = Wish(desk.market, "bid", old.ticks - 5, 50)
    new = desk.accounts.place(desk.account, wish, replaces=old)
    late = desk.accounts.place(desk.account, wish, replaces=old)
    desk.run(250)
    assert (old.state, old.reason) == ("cancelled", "replaced")
    assert (new.state, late.state, late.reason) == ("open", "rejected", "previous_gone")
    above = Trigger(round(desk.market.mark_price * 1.01 / desk.market.listing.tick), above=True)
    waiting = desk.accounts.place(desk.account, replace(wish, trigger=above), replaces=new)
    desk.run(250)
    assert (new.state, waiting.state) == ("cancelled", "untriggered")
    desk.market.mark_price *= 1.02
    desk.accounts._check()
    assert waiting.state == "open", "what it replaced is behind it"


@pytest.mark.parametrize(
    ("mode", "states", "lots"),
    [
        ("expire_maker", ("cancelled", "filled"), (0, 10)),
        ("expire_taker", ("open", "cancelled"), (100, 0)),
        ("expire_both", ("cancelled", "cancelled"), (0, 0)),
        ("reduce", ("open", "cancelled"), (90, 0)),
        ("allow", ("open", "filled"), (90, 10)),
    ],
)
@pytest.mark.parametrize("kin", [False, True])
def test_self_trades(mode: str, states: tuple[str, str], lots: tuple[int, int], kin: bool) -> None:
    desk = Desk()
    other = desk.accounts.create(TIER, 10_000 * MICRO, kin=[desk.account]) if kin else desk.account
    resting = desk.place("ask", -1, 100, "post_only")
    desk.run(0)
    taker = desk.accounts.place(
        other,
        Wish(desk.market, "bid", resting.ticks + 500, 10, "ioc", self_trade=mode, self_trade_kin=True),  # type: ignore[arg-type]
    )
    at_once(desk, taker)
    assert (resting.state, taker.state) == states
    assert (resting.open_lots, taker.filled_lots) == lots
    check_identity(desk.account, list(desk.account.reports))


def at_once(desk: Desk, order: OwnOrder) -> None:
    """Decide an order before the world moves."""
    desk.accounts.arrive(desk.accounts.by_id[order.account], order)


@pytest.mark.parametrize("lots", [30_000, -30_000])
def test_funding_is_charged_to_who_holds(lots: int) -> None:
    """At a positive rate the long side pays."""
    desk = Desk(start_ms=START_MS // HOUR_MS * HOUR_MS - 5_000)
    desk.hold(lots)
    before = desk.account.balance_micro
    desk.run(20_000)
    [payment] = [p for report in desk.account.reports for p in report.payments]
    settled = desk.market.funding.settled[-1]
    exact = -lots * desk.market.listing.lot * settled.price * settled.rate_per_hour * MICRO
    assert payment.paid_micro == pytest.approx(exact, abs=1)
    assert payment.paid_micro != 0
    assert desk.account.balance_micro == before + payment.paid_micro
    check_identity(desk.account, list(desk.account.reports))


def test_a_liquidation_goes_in_steps_and_ends_within_the_equity() -> None:
    desk = Desk(equity_usd=3_000)
    desk.accounts.set_leverage(desk.account, desk.market, 20_000)
    desk.place("bid", 500, 100_000, "ioc")
    desk.run(250)
    assert desk.account.lots("BTC-USD") == 100_000
    crash(desk, 0.93)
    fills = [fill for report in desk.account.reports for fill in report.fills if fill.kind != "trade"]
    assert len({fill.at_ms for fill in fills}) > 1, "more than one step"
    assert desk.account.balance_micro >= 0
    assert desk.accounts.figures(desk.account).equity >= desk.accounts.figures(desk.account).maintenance
    check_identity(desk.account, list(desk.account.reports))


def test_a_liquidation_that_finds_no_buyer_goes_on_below_and_the_venue_bears_the_rest() -> None:
    """Five fill-or-kill slices at the price of no equity, then all of it up to 5 % worse."""
    desk = Desk(equity_usd=3_000)
    other = desk.accounts.create(TIER, 1_000_000 * MICRO)
    desk.accounts.set_leverage(desk.account, desk.market, 20_000)
    desk.place("bid", 500, 100_000, "ioc")
    desk.run(250)
    entry = desk.account.positions["BTC-USD"].entry_price()
    desk.market.mark_price = entry - 2_500
    empty_bids(desk)
    zero = entry - desk.account.balance_micro / MICRO
    below = round(zero * 0.98)
    desk.accounts.arrive(other, desk.accounts.place(other, Wish(desk.market, "bid", below, 150_000)))
    desk.market.book.submit(1, "bid", round(zero) + 1, 10_000, desk.world.now_ms)
    for step in range(6):
        assert desk.account.lots("BTC-USD") == 100_000, f"step {step} sells nothing: there is too little"
        desk.accounts._check()
    fills = [fill for report in desk.account.reports for fill in report.fills if fill.kind == "liquidation"]
    assert [(fill.ticks, fill.lots) for fill in fills] == [(round(zero) + 1, 10_000), (below, 90_000)]
    assert desk.account.positions == {}
    assert desk.account.balance_micro == 0
    assert desk.account.insured_micro == pytest.approx(0.9 * (zero - below) * MICRO, rel=0.01)
    check_identity(desk.account, list(desk.account.reports))


def empty_bids(desk: Desk) -> None:
    for order in list(desk.market.book.orders("bid")):
        desk.market.book.cancel(order.id)


def test_a_position_nobody_buys_is_taken_over() -> None:
    desk = Desk(equity_usd=3_000)
    desk.accounts.set_leverage(desk.account, desk.market, 20_000)
    desk.place("bid", 500, 100_000, "ioc")
    desk.run(250)
    desk.market.mark_price = desk.account.positions["BTC-USD"].entry_price() - 2_500
    empty_bids(desk)
    for _ in range(7):
        assert desk.account.positions
        desk.accounts._check()
    assert desk.account.positions == {}
    [fill] = [fill for report in desk.account.reports for fill in report.fills if fill.kind == "deleverage"]
    assert (fill.lots, fill.fee_micro, fill.trade) == (100_000, 0, 0)
    assert 0 <= desk.account.balance_micro < 2 * MICRO, "at the price of no equity, rounded in its favour"


def test_a_fill_through_zero_ends_one_position_and_begins_another() -> None:
    desk = Desk()
    desk.hold(1_000)
    first = desk.account.positions["BTC-USD"]
    resting = desk.place("bid", -500, 2_500)
    desk.run(250)
    other = desk.place("ask", -300, 2_500)
    desk.run(250)
    desk.market.book.hit(other.engine_id, 2_500, desk.world.now_ms)
    second = desk.account.positions["BTC-USD"]
    assert (first.lots, first.is_long, first.closed_lots) == (0, True, 1_000)
    assert (second.lots, second.opened_lots, second.id != first.id) == (-1_500, 1_500, True)
    assert second.entry_price() == pytest.approx(other.ticks * desk.market.listing.tick)
    assert resting.state == "open"
    check_identity(desk.account, list(desk.account.reports))


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize(
    ("held", "lots", "growing"), [(0, 1_000, 1_000), (500, 1_000, 1_000), (-500, 1_000, 0), (-500, 1_200, 200)]
)
def test_an_order_costs_margin_for_what_it_adds_and_its_loss_at_the_mark(
    side: str, held: int, lots: int, growing: int
) -> None:
    """Extended's documented formula; `held` is on the order's side."""
    desk = Desk()
    sign = 1 if side == "bid" else -1
    if held:
        desk.hold(sign * held)
    listing, mark = desk.market.listing, desk.market.mark_price
    ticks = round(mark / listing.tick) + sign * 640
    worse = lots * listing.lot * abs(ticks * listing.tick - mark)
    expected = (growing * listing.lot * ticks * listing.tick / 10 + worse) if growing else 0
    needed = cost(desk.account, RULES.margin, desk.market, side, (ticks, lots))  # type: ignore[arg-type]
    assert needed == pytest.approx(expected * MICRO, abs=3)
    better = cost(desk.account, RULES.margin, desk.market, side, (ticks - sign * 1_280, lots))  # type: ignore[arg-type]
    assert better == pytest.approx(growing * listing.lot * (ticks - sign * 1_280) * listing.tick / 10 * MICRO, abs=3)


def crash(desk: Desk, factor: float) -> None:
    """Let the mark fall, for as long as it takes."""

    def fall() -> None:
        desk.market.mark_price = desk.market.index_price * factor

    for _ in range(60):
        desk.run(10)
        fall()
        desk.accounts._check()


def test_a_liquidation_and_a_deleveraging_by_order() -> None:
    for kind in ("liquidate", "deleverage"):
        desk = Desk()
        desk.hold(1_000)
        resting = desk.place("ask", -500, 100, reduce_only=True)
        desk.run(250)
        desk.fault(kind)
        desk.run(500)
        assert desk.account.positions == {}
        assert resting.state == "cancelled"
        kinds = {fill.kind for report in desk.account.reports for fill in report.fills}
        assert kinds == {"trade", "liquidation" if kind == "liquidate" else "deleverage"}
        check_identity(desk.account, list(desk.account.reports))


def test_orders_the_margin_no_longer_covers_are_cancelled_newest_first() -> None:
    desk = Desk(equity_usd=1_000)
    first, second = desk.place("bid", -500, 6_000), desk.place("bid", -501, 6_000)
    desk.run(250)
    assert (first.state, second.state) == ("open", "open")
    desk.accounts.deposit(desk.account, -400 * MICRO)
    desk.run(500)
    assert (first.state, second.state, second.reason) == ("open", "cancelled", "margin")


@pytest.mark.parametrize(("above", "factor"), [(True, 1.001), (False, 0.999)])
def test_a_trigger_fires_once_its_price_has_come(above: bool, factor: float) -> None:
    desk = Desk()
    desk.hold(1_000)
    level = round(desk.market.mark_price * factor / desk.market.listing.tick)
    order = desk.place("ask", 2_000, 0, "ioc", reduce_only=True, trigger=Trigger(level, above))
    desk.run(300)
    assert order.state == "untriggered"
    desk.market.mark_price = desk.market.mark_price * (2 * factor - 1)
    desk.accounts._check()
    assert (order.state, order.filled_lots) == ("filled", 1_000)
    assert desk.account.positions == {}


def test_of_two_siblings_one_remains() -> None:
    desk = Desk()
    mark = round(desk.market.mark_price / desk.market.listing.tick)
    exits = tuple(
        Wish(desk.market, "ask", level, 1, "ioc", reduce_only=True, trigger=Trigger(level, above))
        for level, above in ((mark + 500, True), (mark - 500, False))
    )
    parent = desk.place("bid", 2_000, 700, "ioc", children=exits)
    desk.run(500)
    assert parent.state == "filled"
    profit, loss = desk.account.orders.values()
    assert [(o.state, o.lots) for o in (profit, loss)] == [("untriggered", 700)] * 2
    desk.market.mark_price *= 0.9
    desk.accounts._check()
    assert (loss.state, loss.filled_lots > 0) in (("filled", True), ("cancelled", False), ("cancelled", True))
    assert (profit.state, profit.reason) == ("cancelled", "sibling")


def test_an_order_expires_and_the_dead_man_s_switch_cancels() -> None:
    desk = Desk()
    expiring = desk.place("bid", -500, 100, expires_ms=START_MS + 5_000)
    switched = desk.place("bid", -500, 100)
    desk.accounts.set_dead_man(desk.account, START_MS + 2_000)
    desk.run(3_000)
    assert (switched.state, switched.reason) == ("cancelled", "dead_man")
    assert expiring.state == "cancelled"
    expiring = desk.place("bid", -500, 100, expires_ms=START_MS + 5_000)
    desk.accounts.set_dead_man(desk.account, START_MS + 9_000)
    desk.accounts.set_dead_man(desk.account, None)
    desk.run(7_000)
    assert (expiring.state, expiring.updated_ms - START_MS < 5_300) == ("expired", True)


@pytest.mark.parametrize(
    ("kind", "reduce_only", "state"),
    [("halted", True, "rejected"), ("reduce_only", False, "rejected"), ("reduce_only", True, "filled")],
)
def test_a_market_s_mode(kind: str, reduce_only: bool, state: str) -> None:
    desk = Desk()
    desk.hold(1_000)
    desk.fault(kind)
    order = desk.place("ask" if reduce_only else "bid", 2_000, 1_000, "ioc", reduce_only=reduce_only)
    desk.run(250)
    assert order.state == state


def test_an_ignored_order_stays_pending_for_ever() -> None:
    desk = Desk()
    desk.fault("ignored")
    lost, seen = desk.place("bid", -500, 100), desk.place("bid", -500, 100)
    desk.run(5_000)
    assert (lost.state, seen.state) == ("pending", "open")


def test_a_mirror_knows_a_report_when_it_is_due() -> None:
    desk = Desk()
    mirror = Mirror()
    for report in desk.account.reports:
        mirror.add(report, START_MS + 700)
    mirror.advance(START_MS + 699)
    assert mirror.balance_micro == 0
    mirror.advance(START_MS + 700)
    assert mirror.balance_micro == 100_000 * MICRO


def test_the_same_orders_in_the_same_world_end_alike_however_time_is_sliced() -> None:
    def played(slice_ms: int) -> list[object]:
        desk = Desk()
        for side in ("bid", "ask") * 6:
            desk.place(side, 3, 500)
            for _ in range(700 // slice_ms):
                desk.run(slice_ms)
        return [(r.at_ms, r.balance_micro, [f.ticks for f in r.fills]) for r in desk.account.reports]

    assert played(700) == played(700) == played(20) == played(1)

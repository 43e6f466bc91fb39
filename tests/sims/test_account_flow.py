"""Any flow of orders: the books, the accounts and the reports never disagree, and no micro-dollar is lost."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinleg_sims.account import Account, Mirror, Report, Tier
from twinleg_sims.accounts import Accounts, Rules
from twinleg_sims.faults import Faults
from twinleg_sims.funding import HOUR_MS
from twinleg_sims.liquidation import LiquidationRules
from twinleg_sims.margin import MarginRules
from twinleg_sims.market import FIRST_OUTSIDE_OWNER
from twinleg_sims.orders import OwnOrder, Trigger, Wish
from twinleg_sims.positions import MICRO
from twinleg_sims.world import World

pytestmark = pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy support:DeprecationWarning")
"""Each example starts from a copy of one world, and a world counts with itertools.count: copied up to Python 3.13."""

START_MS = 1_795_197_000_000 // HOUR_MS * HOUR_MS - 3_000
RULES = Rules(
    MarginRules(lambda market, _: 500_000 // market.listing.max_leverage, lambda _: 50_000),
    LiquidationRules(slices=3, slice_min_micro=1_000 * MICRO, fill_or_kill=False, worse_ppm=0, fee_ppm=10_000),
)
WORLD = World(7, 1, START_MS)

placing = st.fixed_dictionaries(
    {
        "act": st.just("place"),
        "who": st.integers(0, 1),
        "side": st.sampled_from(["bid", "ask"]),
        "away": st.integers(-60, 60),
        "lots": st.integers(1, 40_000),
        "tif": st.sampled_from(["gtt", "ioc", "post_only"]),
        "reduce_only": st.sampled_from([False, False, False, True]),
        "self_trade": st.sampled_from(["expire_maker", "expire_taker", "expire_both", "reduce", "allow"]),
        "kin": st.booleans(),
        "trigger": st.sampled_from([*[None] * 10, True, False]),
        "replaces": st.sampled_from([*[False] * 7, True]),
    }
)
acting = st.fixed_dictionaries(
    {
        "act": st.sampled_from(
            [*["wait"] * 5, *["hit"] * 3, "cancel", "modify", "modify", "cancel_all", "liquidate", "deleverage"]
        ),
        "who": st.integers(0, 1),
        "pick": st.integers(0, 5),
        "lots": st.integers(1, 40_000),
        "away": st.integers(-60, 60),
        "ms": st.sampled_from([1, 100, 250, 1_000, 15_000]),
    }
)


class Flow:
    """One venue of a copied world with two accounts of one wallet."""

    def __init__(self) -> None:
        self.world = deepcopy(WORLD)
        self.accounts = Accounts(self.world, "extended", RULES, Faults())
        first = self.accounts.create(Tier(250, 20, 200, 0), 3_000 * MICRO)
        second = self.accounts.create(Tier(280, 0, 0, 100), 500_000 * MICRO, kin=[first])
        self.both = [first, second]
        self.market = self.world.market("extended", "BTC-USD")
        self.reports: dict[int, list[Report]] = {first.id: [], second.id: []}

    def act(self, step: dict[str, Any]) -> None:
        account = self.both[step["who"]]
        orders = list(account.orders.values())
        match step["act"]:
            case "place":
                self.place(account, orders, step)
            case "wait":
                self.world.advance(self.world.now_ms + step["ms"])
            case "cancel_all":
                self.accounts.cancel_all(account)
            case "liquidate":
                self.accounts.liquidate(account)
            case "deleverage":
                self.accounts.deleverage(account)
            case _ if not orders:
                return
            case "cancel":
                self.accounts.cancel(account, orders[step["pick"] % len(orders)])
            case "modify":
                order = orders[step["pick"] % len(orders)]
                wish = Wish(self.market, order.side, order.ticks + step["away"], step["lots"], "gtt")
                self.accounts.modify(account, order, wish)
            case "hit":
                self.market.book.hit(orders[step["pick"] % len(orders)].engine_id, step["lots"], self.world.now_ms)

    def place(self, account: Account, orders: list[OwnOrder], step: dict[str, Any]) -> None:
        best = self.market.book.best("ask" if step["side"] == "bid" else "bid")
        assert best is not None
        ticks = best + step["away"] * (1 if step["side"] == "bid" else -1)
        trigger = None if step["trigger"] is None else Trigger(best, step["trigger"], "index")
        wish = Wish(
            self.market, step["side"], ticks, step["lots"], step["tif"], step["reduce_only"],
            self_trade=step["self_trade"], self_trade_kin=step["kin"], trigger=trigger,
        )  # fmt: skip
        self.accounts.place(account, wish, orders[0] if step["replaces"] and orders else None)

    def check(self) -> None:
        for account in self.both:
            while account.reports:
                self.reports[account.id].append(account.reports.popleft())
            self.check_orders(account)
            check_money(account, self.reports[account.id])
        outside = {
            o.id: o for side in ("bid", "ask") for o in self.market.book.orders(side) if o.owner >= FIRST_OUTSIDE_OWNER
        }
        ours = {o.engine_id: o for account in self.both for o in account.orders.values() if o.state == "open"}
        assert outside.keys() == ours.keys()
        for number, order in ours.items():
            resting = outside[number]
            assert (resting.lots, resting.ticks, resting.side) == (order.open_lots, order.ticks, order.side)
            assert resting.owner == order.account

    def check_orders(self, account: Account) -> None:
        held = account.lots(self.market.symbol)
        for order in account.orders.values():
            assert order.live
            assert order.open_lots >= 0
            if order.state == "open" and order.wish.reduce_only:
                assert order.open_lots <= abs(held)
                assert (held > 0) == (order.side == "ask")


def check_money(account: Account, reports: list[Report]) -> None:
    """Fill by fill: the position, what each reduce-only order did to it, and the balance."""
    mirror = Mirror()
    held = 0
    reduce_only: dict[int, bool] = {}
    for report in reports:
        reduce_only |= {order.id: order.wish.reduce_only for order in report.orders}
        for fill in report.fills:
            after = held + (fill.lots if fill.side == "bid" else -fill.lots)
            if reduce_only.get(fill.order, False):
                assert abs(after) < abs(held)
                assert after * held >= 0
            held = after
        mirror.add(report, 0)
    mirror.advance(1)
    assert held == account.lots("BTC-USD")
    assert mirror.balance_micro == account.balance_micro
    assert {o.id: o.state for o in mirror.open_orders()} == {
        o.id: o.state for o in account.orders.values() if o.state != "pending"
    }
    stays = [*mirror.closed, *mirror.positions.values()]
    assert account.balance_micro == account.deposited_micro + account.insured_micro + sum(
        p.realised_micro for p in stays
    )
    flow = sum((1 if f.side == "ask" else -1) * f.value_micro for f in mirror.fills)
    open_cost = sum((1 if p.lots > 0 else -1) * p.cost_micro for p in account.positions.values())
    assert sum(p.trade_pnl_micro for p in stays) == flow + open_cost
    for order in mirror.orders.values():
        mine = [fill for fill in mirror.fills if fill.order == order.id]
        assert order.filled_lots == sum(fill.lots for fill in mine)
        assert order.fee_micro == sum(fill.fee_micro for fill in mine)
        if not order.live:
            assert order.filled_lots + order.cut_lots == order.lots


@settings(max_examples=60)
@given(st.lists(st.one_of(placing, acting), max_size=40))
def test_books_accounts_and_reports_agree_after_any_flow(steps: list[dict[str, Any]]) -> None:
    flow = Flow()
    for step in steps:
        flow.act(step)
        flow.check()
    flow.world.advance(flow.world.now_ms + 1_000)
    flow.check()


@settings(max_examples=5)
@given(st.lists(st.one_of(placing, acting), min_size=10, max_size=25))
def test_a_flow_ends_alike_every_time(steps: list[dict[str, Any]]) -> None:
    ends: list[list[object]] = []
    for _ in range(2):
        flow = Flow()
        for step in steps:
            flow.act(step)
            flow.world.advance(flow.world.now_ms + 300)
        flow.check()
        ends.append([seen(report) for account in flow.both for report in flow.reports[account.id]])
    assert ends[0] == ends[1]


def seen(report: Report) -> object:
    """What a report says."""
    orders = [(order.id, order.state, order.reason, order.filled_lots) for order in report.orders]
    return (
        report.at_ms,
        report.balance_micro,
        orders,
        [(fill.ticks, fill.lots, fill.fee_micro) for fill in report.fills],
    )

"""What an account is worth, by its slots and the markets they are in."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from twinleg.core.trading import BalanceSeen
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts
from twinleg.venues.drift.chain import layout
from twinleg.venues.drift.chain.layout import PerpMarket, SpotMarket, User


def balance_seen(
    user: User, spots: Mapping[int, SpotMarket], perps: Mapping[int, PerpMarket], now_ms: int
) -> BalanceSeen:
    """The money at the markets' last oracle prices. Raises WireError for a market that is not among those given.

    Margins are estimates: what grows with a position's size (IMF) and the discount on unsettled profit are left out.
    """
    equity = collateral = Fraction(0)
    for slot in user.balances():
        spot = spots.get(slot.market_index)
        if spot is None:
            raise WireError(f"a balance in spot market {slot.market_index}, which was not asked for")
        owes = slot.balance_type == layout.BORROW
        interest = spot.borrow_interest if owes else spot.deposit_interest
        value = Fraction(slot.scaled_balance * interest * spot.oracle_price, 10**25)
        weight = spot.liability_weight_initial if owes else spot.asset_weight_initial
        equity += -value if owes else value
        collateral += (-value if owes else value) * weight / facts.MARGIN_UNIT
    initial = maintenance = Fraction(0)
    for held in user.positions():
        perp = perps.get(held.market_index)
        if perp is None:
            raise WireError(f"a position in perp market {held.market_index}, which was not asked for")
        profit = Fraction(held.quote_asset_amount, 10**6) + Fraction(held.base_asset_amount * perp.oracle_price, 10**15)
        base = max(abs(held.base_asset_amount + held.open_bids), abs(held.base_asset_amount + held.open_asks))
        notional = Fraction(base * perp.oracle_price, 10**15)
        equity, collateral = equity + profit, collateral + profit
        initial += notional * perp.margin_initial / facts.MARGIN_UNIT
        maintenance += notional * perp.margin_maintenance / facts.MARGIN_UNIT
    return BalanceSeen(
        facts.NAME, float(equity), float(collateral - initial), float(initial), float(maintenance), now_ms
    )  # fmt: skip

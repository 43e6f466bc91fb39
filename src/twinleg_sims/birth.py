"""How a market comes into the world: its character, and a past that fits it."""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign
from random import Random

from twinleg_sims.funding import HOUR_MS, MINUTE_MS, Funding, next_hour_ms
from twinleg_sims.history import Bars, past_hours
from twinleg_sims.listings import LIGHTER, Listing
from twinleg_sims.market import LIQUIDITY, Liquidity, Premium, SimMarket


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of a world there is: the past of every market, how it trades, and what else is listed."""

    past_hours: int = 72
    past_trades: int = 60
    liquidity: Liquidity | None = None
    """Of every market; None = each as its asset's tier trades."""
    odd_markets: bool = True
    """Whether the venues also list what a careful client leaves out."""


FULL = Scale()


@dataclass(frozen=True, slots=True)
class Character:
    """How an asset's two venues differ. Most assets: hardly, which leaves nothing after fees.

    Some pay lasting funding on one venue; some are thrown apart by tens of basis points and come back in minutes.
    """

    slow_mean: dict[str, float]
    fast_sd: float
    fast_half_life_ms: float

    @classmethod
    def of(cls, dice: Random, tier: int) -> Character:
        """A character drawn from an asset's own dice; the less liquid, the wilder."""
        lot = dice.random()
        slow = {"lighter": dice.gauss(0, 0.0002), "extended": dice.gauss(0, 0.0002)}
        if lot < 0.25:
            slow[dice.choice(sorted(slow))] += dice.choice((1, 1, -1)) * dice.uniform(0.0009, 0.0016 + 0.0005 * tier)
        fast_sd = dice.uniform(0.0008, 0.0016) if 0.25 <= lot < 0.42 else dice.uniform(0.00004, 0.00015)
        return cls(slow, fast_sd, dice.uniform(3, 9) * MINUTE_MS)


def born(seed: int, listing: Listing, character: Character, start_ms: int, scale: Scale = FULL) -> SimMarket:
    """A market with a past of candles and settled funding, this hour's premium samples, trades and a full book."""
    dice = Random(f"{seed}:{listing.venue}:{listing.symbol}")
    tier = scale.liquidity or LIQUIDITY[listing.asset.tier]
    price = listing.asset.start_price * listing.multiplier
    hours = past_hours(dice, listing, start_ms, scale.past_hours, tier.top_usd * 150)
    slow = character.slow_mean[listing.venue]
    premium = Premium(slow, 0.00005 + abs(slow) / 5, character.fast_sd, character.fast_half_life_ms, slow)
    first_hour_ms = next_hour_ms(start_ms) - scale.past_hours * HOUR_MS
    settled = [
        (hour_ms, _sample(premium.advance(HOUR_MS, dice), 2 * tier.half_spread))
        for hour_ms in range(first_hour_ms, start_ms + 1, HOUR_MS)
    ]
    market = SimMarket(listing, premium, dice, Bars(hours), start_ms, scale.liquidity)
    closes = {bar.at_ms + HOUR_MS: bar.close for bar in hours}
    for hour_ms, sample in settled:
        market.funding.sample(sample)
        _settle(market.funding, listing, hour_ms, closes.get(hour_ms, price), sample)
    for _ in range((start_ms % HOUR_MS) // MINUTE_MS):
        market.funding.sample(_sample(premium.slow, 2 * tier.half_spread))
    market.open(start_ms, scale.past_trades)
    return market


def _settle(funding: Funding, listing: Listing, hour_ms: int, index: float, premium: float) -> None:
    funding.settle(hour_ms, index if listing.venue == LIGHTER else index * (1 + premium))


def _sample(premium: float, dead_zone: float) -> float:
    """What is left of a premium once the impact prices' distance from the middle is taken off."""
    return copysign(max(0.0, abs(premium) - dead_zone), premium)

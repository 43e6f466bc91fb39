"""twinleg: two legs, one trade. Perpetual futures arbitrage across exchanges, and a trading gateway over them."""

__version__ = "0.1.0"

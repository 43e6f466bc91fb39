"""What tells Drift v2 and Velocity apart: addresses, layouts, and rules that changed."""

from __future__ import annotations

from dataclasses import dataclass

from twinleg_sims.drift import accounts_v2, accounts_velocity
from twinleg_sims.drift.keys import derived, discriminator, key
from twinleg_sims.drift.layout import Layout, Record, flat


@dataclass(frozen=True, slots=True)
class Profile:
    """One program. Layouts are flat: the fields of nested single records are read by their own names."""

    name: str
    program: bytes
    state_seed: bytes
    quote_symbol: str
    quote_mint: bytes
    state: Layout
    perp_market: Layout
    spot_market: Layout
    user: Layout
    user_stats: Layout
    lookup_tables: tuple[bytes, ...]
    builder_fields: bool
    """OrderParams ends with two options more, and its oracle offset is 64 bits wide."""
    keeps_closed_orders: bool
    """A closed order keeps its words and shows how it ended; else its slot is wiped."""
    derives_auctions: bool
    amm_waits_auction: bool
    """The AMM trades only after the shortest auction; else as soon as its oracle is fresh."""
    impossible_fill: bool
    """place_and_take fails when there is nobody to trade with."""
    spot_orders: bool
    cancel_unknown_user_id_fails: bool
    funding_offset_divisor: int
    event_tail: bool = True
    """OrderActionRecord goes on after the oracle price."""
    posted_slot_tail: bool = True

    def pda(self, seed: str, *rest: bytes) -> bytes:
        """The address of "user", "perp_market" and so on."""
        return derived(self.program, seed.encode(), *rest)

    @property
    def state_key(self) -> bytes:
        return derived(self.program, self.state_seed)

    def perp_market_key(self, index: int) -> bytes:
        return self.pda("perp_market", index.to_bytes(2, "little"))

    def spot_market_key(self, index: int) -> bytes:
        return self.pda("spot_market", index.to_bytes(2, "little"))

    def vault_key(self, index: int) -> bytes:
        return self.pda("spot_market_vault", index.to_bytes(2, "little"))

    def user_key(self, authority: bytes, sub_account: int = 0) -> bytes:
        return self.pda("user", authority, sub_account.to_bytes(2, "little"))

    def stats_key(self, authority: bytes) -> bytes:
        return self.pda("user_stats", authority)

    def signer_key(self) -> bytes:
        return self.pda("drift_signer")

    def blank(self, shape: Layout) -> bytearray:
        """An account of a layout with nothing but its discriminator."""
        return bytearray(discriminator("account", shape.name).ljust(shape.size, b"\0"))

    def record(self, shape: Layout, data: bytearray) -> Record | None:
        """The account as a record, None when it is another kind of account."""
        right = len(data) >= shape.size and data[:8] == discriminator("account", shape.name)
        return Record(shape, data) if right else None


DRIFT = Profile(
    name="drift",
    program=key("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH"),
    state_seed=b"drift_state",
    quote_symbol="USDC",
    quote_mint=key("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
    state=flat(accounts_v2.STATE),
    perp_market=flat(accounts_v2.PERP_MARKET),
    spot_market=flat(accounts_v2.SPOT_MARKET),
    user=accounts_v2.USER,
    user_stats=flat(accounts_v2.USER_STATS),
    lookup_tables=(
        key("Fpys8GRa5RBWfyeN7AaDUwFGD1zkDCA4z3t4CJLV8dfL"),
        key("EiWSskK5HXnBTptiS5DH6gpAJRVNQ3cAhTKBGaiaysAb"),
    ),
    builder_fields=False,
    keeps_closed_orders=False,
    derives_auctions=True,
    amm_waits_auction=False,
    impossible_fill=True,
    spot_orders=True,
    cancel_unknown_user_id_fails=False,
    funding_offset_divisor=5000,
)

VELOCITY = Profile(
    name="velocity",
    program=key("vELoC1audYbSYVRXn1vPaV8Axoa9oU6BYmNGZZBDZ1P"),
    state_seed=b"velocity_state",
    quote_symbol="USDT",
    quote_mint=key("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"),
    state=accounts_velocity.STATE,
    perp_market=accounts_velocity.PERP_MARKET,
    spot_market=accounts_velocity.SPOT_MARKET,
    user=accounts_velocity.USER,
    user_stats=flat(accounts_velocity.USER_STATS),
    lookup_tables=(),
    builder_fields=True,
    keeps_closed_orders=True,
    derives_auctions=True,
    amm_waits_auction=False,
    impossible_fill=False,
    spot_orders=False,
    cancel_unknown_user_id_fails=True,
    funding_offset_divisor=3333,
)

PROFILES = {profile.name: profile for profile in (DRIFT, VELOCITY)}

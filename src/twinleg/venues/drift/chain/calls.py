"""Whole instructions for one sub-account: the program's bytes and the accounts that each must name.

Every instruction that judges margin names the oracle, spot and perp market of all that the account holds, besides the
market it is for: `Held` collects them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from twinleg.venues.drift.chain import instructions as ix
from twinleg.venues.drift.chain.instructions import Dialect, Instruction, Meta, ModifyParams, OrderParams
from twinleg.venues.drift.chain.keys import address, owned_address
from twinleg.venues.drift.chain.layout import SPOT

TOKEN_PROGRAM = address("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")


class Held(msgspec.Struct, frozen=True):
    """Accounts that judge margin, each once: oracles, spot markets, perp markets."""

    oracles: tuple[bytes, ...]
    spot_markets: tuple[bytes, ...]
    perp_markets: tuple[bytes, ...]

    def metas(self, *, written: Iterable[bytes] = ()) -> tuple[Meta, ...]:
        changed = set(written)
        found = dict.fromkeys((*self.oracles, *self.spot_markets, *self.perp_markets))
        return tuple(Meta(key, writable=key in changed) for key in found)


class Maker(msgspec.Struct, frozen=True):
    """Somebody to trade with at once: the User and UserStats accounts."""

    user: bytes
    stats: bytes


class Calls:
    """Instructions of one sub-account. `signer` signs them, its owner or a delegate."""

    def __init__(
        self, program: bytes, state: bytes, dialect: Dialect, user: bytes, stats: bytes, signer: bytes
    ) -> None:
        self._program = program
        self._state = state
        self._dialect = dialect
        self._user = user
        self._stats = stats
        self._signer = signer

    def place(self, order: OrderParams, held: Held) -> Instruction:
        make = ix.place_spot if order.market_type == SPOT else ix.place_perp
        return self._call(make(order, self._dialect), held)

    def place_several(self, orders: Sequence[OrderParams], held: Held) -> Instruction:
        return self._call(ix.place_orders(orders, self._dialect), held)

    def place_and_take(self, order: OrderParams, held: Held, makers: Sequence[Maker]) -> Instruction:
        """Fills what it can at once against these makers and the AMM; an immediate-or-cancel order's rest is gone."""
        written = (*held.spot_markets[:1], *held.perp_markets[:1])
        known = tuple(Meta(key, writable=True) for maker in makers for key in (maker.user, maker.stats))
        data = ix.place_and_take(order, self._dialect)
        return Instruction(self._program, (*self._head(stats=True), *held.metas(written=written), *known), data)

    def cancel(self, order_id: int, held: Held) -> Instruction:
        return self._call(ix.cancel(order_id), held)

    def cancel_by_user_id(self, user_order_id: int, held: Held) -> Instruction:
        return self._call(ix.cancel_by_user_id(user_order_id), held)

    def cancel_by_ids(self, order_ids: Sequence[int], held: Held) -> Instruction:
        return self._call(ix.cancel_by_ids(order_ids), held)

    def cancel_all(self, market_type: int | None, market_index: int | None, held: Held) -> Instruction:
        return self._call(ix.cancel_orders(market_type, market_index), held)

    def modify(self, order_id: int, change: ModifyParams, held: Held) -> Instruction:
        """The program cancels and places anew: look the order up by its user_order_id afterwards."""
        return self._call(ix.modify(order_id, change, self._dialect), held)

    def cancel_and_place(
        self, market_index: int, market_type: int, order: OrderParams, held: Held
    ) -> list[Instruction]:
        """Both or neither: one transaction."""
        return [self.cancel_all(market_type, market_index, held), self.place(order, held)]

    def deposit(self, spot_index: int, amount: int, token_account: bytes, held: Held) -> Instruction:
        """From a token account that exists. `amount` in the mint's units."""
        accounts = (
            *self._head(stats=True), Meta(self._vault(spot_index), writable=True), Meta(token_account, writable=True),
            Meta(TOKEN_PROGRAM), *held.metas(written=held.spot_markets[:1]),
        )  # fmt: skip
        return Instruction(self._program, accounts, ix.deposit(spot_index, amount))

    def withdraw(self, spot_index: int, amount: int, token_account: bytes, held: Held) -> Instruction:
        """To a token account that exists; never borrows. `amount` in the mint's units."""
        accounts = (
            *self._head(stats=True), Meta(self._vault(spot_index), writable=True),
            Meta(owned_address(self._program, b"drift_signer")), Meta(token_account, writable=True),
            Meta(TOKEN_PROGRAM), *held.metas(written=held.spot_markets[:1]),
        )  # fmt: skip
        return Instruction(self._program, accounts, ix.withdraw(spot_index, amount, reduce_only=True))

    def settle_pnl(self, market_index: int, held: Held) -> Instruction:
        """Turns a perp position's profit or loss into quote balance; anybody may ask for it."""
        written = (*held.spot_markets[:1], *held.perp_markets[:1])
        accounts = (*self._head(), Meta(self._vault(0)), *held.metas(written=written))
        return Instruction(self._program, accounts, ix.settle_pnl(market_index))

    def settle_funding(self, held: Held) -> Instruction:
        """Books the funding that is due; anybody may ask for it."""
        accounts = (Meta(self._state), Meta(self._user, writable=True), *(Meta(key) for key in held.perp_markets))
        return Instruction(self._program, accounts, ix.settle_funding())

    def _call(self, data: bytes, held: Held) -> Instruction:
        return Instruction(self._program, (*self._head(), *held.metas()), data)

    def _head(self, *, stats: bool = False) -> tuple[Meta, ...]:
        middle = (Meta(self._stats, writable=True),) if stats else ()
        return (Meta(self._state), Meta(self._user, writable=True), *middle, Meta(self._signer, signer=True))

    def _vault(self, spot_index: int) -> bytes:
        return owned_address(self._program, b"spot_market_vault", spot_index.to_bytes(2, "little"))

"""Asks again and again whether a trade should be left: hedged ones every second, entries that rest on every beat."""

from __future__ import annotations

import logging

from twinleg.core.board import Board
from twinleg.core.exits import exit_wish, rest_wish
from twinleg.core.ledger import TradeAccount
from twinleg.core.messages import Refusal
from twinleg.core.orders import ExitWish, State
from twinleg.core.pairs import Pair
from twinleg.core.switching import Held, Room, switch_wish
from twinleg.runtime.desk import Desk
from twinleg.runtime.purse import Purse

LOG = logging.getLogger("twinleg.leaving")

RESERVED_MS = 60_000
"""So long the room that a switch makes is kept for the pair it is made for."""


class Leaving:
    """The engine's wishes to exit, told to the desk."""

    def __init__(self, board: Board, desk: Desk, purse: Purse, stop_loss_bps: float) -> None:
        self._board, self._desk, self._purse, self._stop_loss_bps = board, desk, purse, stop_loss_bps
        self._reserved: tuple[str, int] | None = None

    def every_beat(self, now_ms: int) -> None:
        """Entries that rest and cannot be hedged as planned any more."""
        for account in self._desk.ledger.open_trades():
            if account.trade.state is State.ENTERING and account.trade.plan.rest_ms:
                pair = self._pair(account)
                wish = None if pair is None else rest_wish(pair, account.trade)
                if wish is not None:
                    self._wants(account, wish, now_ms)

    def every_second(self, now_ms: int, blocked: tuple[Refusal, ...]) -> None:
        """Hedged trades: each by itself, then all of them against what else could be had."""
        held = []
        for account in self._desk.ledger.open_trades():
            pair = self._pair(account)
            if account.trade.state is State.HEDGED and pair is not None:
                one = self._consider(account, pair, now_ms)
                held += [] if one is None else [one]
        exiting = any(account.trade.state is State.EXITING for account in self._desk.ledger.open_trades())
        if held and not exiting:
            self._switch(held, now_ms, blocked)

    def against(self, pair: Pair, now_ms: int) -> tuple[Refusal, ...]:
        """The room that was made is not for this pair."""
        if self._reserved is None or now_ms >= self._reserved[1] or self._reserved[0] == pair.key:
            return ()
        return (Refusal("reserved", f"a trade was left to make room for {self._reserved[0]}"),)

    def _consider(self, account: TradeAccount, pair: Pair, now_ms: int) -> Held | None:
        """Leave it, or say what could be left for something better."""
        if pair.long.bid is None or pair.short.bid is None:
            return None
        held_ms = 0 if account.hedged_at_ms is None else now_ms - account.hedged_at_ms
        standing = self._purse.standing(account, pair)
        wish = exit_wish(pair, standing, stop_loss_bps=self._stop_loss_bps, held_ms=held_ms)
        if wish is not None:
            self._wants(account, wish, now_ms)
            return None
        if standing is None:
            return None
        lots = (account.long.held_lots, account.short.held_lots)
        return Held(trade_id=account.trade.plan.trade_id, pair=pair, standing=standing, lots=lots, held_ms=held_ms)

    def _switch(self, held: list[Held], now_ms: int, blocked: tuple[Refusal, ...]) -> None:
        board = self._board
        wanted = [(board.pairs[one.pair], one) for one in board.ranking() if not one.refusals]
        room = Room(exposure=self._purse.exposure(self._desk.ledger, now_ms), blocked=blocked)
        found = switch_wish(held, wanted, room)
        if found is not None:
            self._reserved = (found.pair, now_ms + RESERVED_MS)
            self._wants(self._desk.ledger.trades[found.trade_id], found.wish, now_ms)

    def _wants(self, account: TradeAccount, wish: ExitWish, now_ms: int) -> None:
        trade = account.trade
        if trade.exit_reason is None:
            LOG.info("%s: %s", trade.plan.trade_id, wish.reason)
        self._desk.wants_exit(trade.plan.trade_id, wish, now_ms)

    def _pair(self, account: TradeAccount) -> Pair | None:
        plan = account.trade.plan
        return self._board.pairs.get(f"{plan.long.market}>{plan.short.market}")

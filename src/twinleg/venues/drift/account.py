"""Drift's account: the User account and the program's records to events, and the RPC node's stream without its socket.

The User account is the truth about what rests and what is held; records tell fills and how an order ended. The stream
tells neither from before it began nor what it lost, so that every beginning and end of it is IN_DOUBT. An order that
leaves the account without a record within VANISHED_MS is, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec

from twinleg.core.amounts import AmountError
from twinleg.core.messages import Market
from twinleg.core.orders import Side
from twinleg.core.trading import (
    IN_DOUBT,
    ExecutionSeen,
    FundingPaid,
    Incident,
    OrderSeen,
    PositionSeen,
    client_id_of,
    number_of,
)
from twinleg.core.venue import WireError
from twinleg.venues.drift import facts, wire
from twinleg.venues.drift.chain import events, layout
from twinleg.venues.drift.chain.events import FundingPayment, Liquidation, OrderAction, OrderPlaced, Record
from twinleg.venues.drift.chain.keys import base58
from twinleg.venues.drift.chain.layout import PERP, Order, PerpPosition, User
from twinleg.venues.drift.chain.names import Names
from twinleg.venues.drift.chain.slots import SlotClock
from twinleg.venues.drift.facts import Profile

UNREADABLE = (*wire.UNREADABLE, AmountError, WireError)
HOUR_S = 3_600
ENDS = {events.CANCEL: "cancelled", events.EXPIRE: "expired", events.FILL: "filled"}


def ours(name: str | None) -> str | None:
    """The client id that a name is, None when it is none of the machine's."""
    try:
        return name if name and client_id_of(number_of(name)) == name else None
    except ValueError:
        return None


class Rows:
    """Reads what concerns one User account (`user`, its address). Raises one of UNREADABLE, and guesses nothing."""

    def __init__(self, profile: Profile, user: bytes, markets: Mapping[str, Market], names: Names) -> None:
        self.profile = profile
        self.user = user
        self.names = names
        self._markets = markets
        self._by_index: dict[int, Market] = {}

    def market(self, index: int) -> Market:
        """Raises WireError for a market that was not listed."""
        found = self._by_index.get(index)
        if found is None or self._markets.get(found.key) is not found:
            self._by_index = {int(one.native_id): one for one in self._markets.values() if one.venue == facts.NAME}
            found = self._by_index.get(index)
        if found is None:
            raise WireError(f"a market that was not listed: {index}")
        return found

    def orders(self, user: User, now_ms: int) -> list[OrderSeen]:
        """The open perp orders."""
        return [self.order(order, now_ms) for order in user.open_orders() if order.market_type == PERP]

    def order(self, order: Order, now_ms: int) -> OrderSeen:
        """An order of the account, which may still fill."""
        market = self.market(order.market_index)
        tick, step = _steps(market)
        ticks, off = divmod(order.price, tick)
        name = self.names.of_order(order) or str(order.user_order_id or "") or None
        return OrderSeen(
            venue=facts.NAME,
            market=market.key,
            client_id=ours(name),
            venue_order_id=str(order.order_id),
            side=_side(order.direction),
            size_lots=order.base_asset_amount // step,
            filled_lots=order.base_asset_amount_filled // step,
            price_ticks=ticks if ticks and not off else None,
            reduce_only=bool(order.reduce_only),
            resting=True,
            reason="",
            at_ms=now_ms,
            name=name,
        )

    def positions(self, user: User, now_ms: int) -> list[PositionSeen]:
        """The open perp positions."""
        return [self.position(slot, now_ms) for slot in user.perp_positions if slot.base_asset_amount]

    def position(self, slot: PerpPosition, now_ms: int) -> PositionSeen:
        market = self.market(slot.market_index)
        tick, step = _steps(market)
        lots, off = divmod(slot.base_asset_amount, step)
        if off:
            raise AmountError(f"{slot.base_asset_amount} is no whole number of lots of {market.key}")
        entry = abs(Fraction(slot.quote_entry_amount * 10**facts.BASE_DECIMALS, slot.base_asset_amount * tick))
        return PositionSeen(facts.NAME, market.key, lots, float(entry), None, None, now_ms)

    def record(self, record: Record, now_ms: int) -> list[Any]:
        """What a record tells of this account: ExecutionSeen, OrderSeen of an end, FundingPaid, Incident."""
        match record:
            case OrderAction() if record.market_type == PERP:
                return self._action(record, now_ms)
            case FundingPayment() if record.user == self.user:
                settled_ms = (record.ts + HOUR_S // 2) // HOUR_S * HOUR_S * 1_000
                key = self.market(record.market_index).key
                return [FundingPaid(facts.NAME, key, record.payment, None, settled_ms)]
            case Liquidation() if record.user == self.user:
                return [Incident(facts.NAME, "liquidation", f"the account is liquidated (type {record.kind})", now_ms)]
            case _:
                return []

    def placed(self, record: Record, client_id: str) -> None:
        """The order that a transaction of that name placed."""
        if isinstance(record, OrderPlaced) and record.user == self.user:
            self.names.placed(client_id, record.order.order_id)

    def _action(self, record: OrderAction, now_ms: int) -> list[Any]:
        party = next((side for side in (record.taker, record.maker) if side.user == self.user), None)
        if party is None or party.order_id is None or record.action not in ENDS:
            return []
        market, taking = self.market(record.market_index), party is record.taker
        step = _steps(market)[1]
        found: list[Any] = []
        if record.action == events.FILL:
            found.append(self._fill(record, market, taking=taking, now_ms=now_ms))
        filled, size = party.filled or 0, party.base or 0
        if record.action != events.FILL or (size and filled >= size):
            name = self.names.client_of(party.order_id)
            self.names.ended(party.order_id)
            why = f"{ENDS[record.action]} {record.explanation}" if record.explanation else ENDS[record.action]
            found.append(
                OrderSeen(
                    venue=facts.NAME,
                    market=market.key,
                    client_id=ours(name),
                    venue_order_id=str(party.order_id),
                    side=_side(party.direction),
                    size_lots=size // step,
                    filled_lots=filled // step,
                    price_ticks=None,
                    reduce_only=False,
                    resting=False,
                    reason=why,
                    at_ms=min(record.ts * 1_000, now_ms),
                    name=name,
                )
            )
        return found

    def _fill(self, record: OrderAction, market: Market, *, taking: bool, now_ms: int) -> ExecutionSeen:
        """Average prices lie between ticks: told at the one that is worse for us."""
        party = record.taker if taking else record.maker
        tick, step = _steps(market)
        if not record.base or not record.quote or record.fill_record_id is None:
            raise AmountError(f"a fill of nothing or at no price: {record}")
        side = _side(party.direction)
        lots, off = divmod(record.base, step)
        price = Fraction(record.quote * 10**facts.BASE_DECIMALS, record.base * tick)
        ticks = -(-price.numerator // price.denominator) if side is Side.BUY else int(price)
        if off or not ticks:
            raise AmountError(f"{record.base} is no whole number of lots of {market.key}")
        forced = taking and record.explanation == events.EXPLAINED_BY_LIQUIDATION
        return ExecutionSeen(
            venue=facts.NAME,
            market=market.key,
            client_id=ours(self.names.client_of(party.order_id)),
            venue_order_id=str(party.order_id),
            fill_id=f"{record.market_index}/{record.fill_record_id}",
            side=side,
            price_ticks=ticks,
            size_lots=lots,
            fee_micro_usd=(record.taker_fee if taking else record.maker_fee) or 0,
            forced="liquidation" if forced else None,
            at_ms=min(record.ts * 1_000, now_ms),
        )


class Heard:
    """What the account is known to be, from whichever of its ways was heard last; each fill told once."""

    def __init__(self) -> None:
        self.slots = SlotClock()
        self.account: User | None = None
        self.account_slot = 0
        self._fills: dict[str, None] = {}

    def slot(self, slot: int, now_ms: int) -> None:
        self.slots.seen(slot, now_ms)

    def user(self, user: User, slot: int) -> bool:
        """Whether that is no older than what is known; then it is what is known."""
        if self.account is not None and slot < self.account_slot:
            return False
        self.account, self.account_slot = user, slot
        return True

    def read(self, user: User, slot: int) -> None:
        """What a read told. Raises WireError when it is older than what is known: that node is behind."""
        if not self.user(user, slot):
            raise WireError(f"the node is behind: slot {slot}, where {self.account_slot} was seen")

    def first(self, fill: ExecutionSeen) -> bool:
        """Whether a fill is told for the first time; now it is."""
        if fill.fill_id in self._fills:
            return False
        self._fills[fill.fill_id] = None
        if len(self._fills) > facts.FILLS_SEEN_MAX:
            del self._fills[next(iter(self._fills))]
        return True


class DriftAccountFeed:
    """The account's changes and the program's records of it. See the head of this file and core.venue.Feed."""

    def __init__(self, url: str, rows: Rows, heard: Heard) -> None:
        self.name = "account"
        self.url = url
        self.headers: dict[str, str] = {}
        self.markets: tuple[str, ...] = ()
        self.outbox: list[bytes] = []
        self.broken: str | None = None
        self.bad_frames = 0
        self.unknown_words = 0
        self._rows = rows
        self._heard = heard
        self._program = base58(rows.profile.program_id)
        self._kinds: dict[int, str] = {}
        self._opened_ms: int | None = None
        self._slot_ms = 0
        self._shown: dict[str, OrderSeen] = {}
        self._vanished: dict[str, int] = {}
        self._positions: dict[str, PositionSeen] = {}

    def opened(self, now_ms: int) -> list[Any]:
        """Three subscriptions: the account, the transactions that name it, slots as a sign of life."""
        self.broken, self._opened_ms, self._slot_ms = None, now_ms, now_ms
        self._kinds.clear()
        self._shown.clear()
        self._vanished.clear()
        user = base58(self._rows.user)
        how = {"commitment": "confirmed"}
        self.outbox[:] = [
            msgspec.json.encode(wire.call(1, "accountSubscribe", user, how | {"encoding": "base64"})),
            msgspec.json.encode(wire.call(2, "logsSubscribe", {"mentions": [user]}, how)),
            msgspec.json.encode(wire.call(3, "slotSubscribe")),
        ]
        return []

    def received(self, payload: bytes | memoryview, received_ns: int, now_ms: int) -> list[Any]:
        """The events of one frame. Never raises; after `broken` frames are ignored."""
        if self.broken is not None:
            return []
        try:
            frame = wire.decode_notice(payload)
        except wire.UNREADABLE as error:
            return self._unclear(f"a frame that cannot be read: {error}", now_ms)
        if frame.params is None:
            return self._acknowledged(frame, now_ms)
        kind = self._kinds.get(frame.params.subscription)
        try:
            match kind:
                case "slot":
                    self._slot_ms = now_ms
                    self._heard.slot(wire.decode_slot(frame.params.result).slot, now_ms)
                    return []
                case "account":
                    return self._account(frame.params.result, now_ms)
                case "logs":
                    return self._logs(frame.params.result, now_ms)
        except UNREADABLE as error:
            return self._unclear(f"{kind}: {error}", now_ms)
        self.unknown_words += 1
        return []

    def timer(self, received_ns: int, now_ms: int) -> list[Any]:
        """Give up on a stream without a sign of life; ask for orders that left without a word."""
        if self.broken is not None or self._opened_ms is None:
            return []
        if now_ms - self._slot_ms > facts.SLOT_SILENT_MS or (
            len(self._kinds) < 3 and now_ms - self._opened_ms > facts.ANSWER_MS_MAX
        ):
            self.broken = "the node tells no slots any more" if len(self._kinds) == 3 else "not all is subscribed"
            return [_doubt(self.broken, now_ms)]
        late = [name for name, since_ms in self._vanished.items() if now_ms - since_ms > facts.VANISHED_MS]
        for name in late:
            del self._vanished[name]
        return [_doubt(f"order {name} left the account, and nothing says how", now_ms) for name in late]

    def closed(self, reason: str, received_ns: int, now_ms: int) -> list[Any]:
        """Whatever happens from now on is not told to us."""
        told, self._opened_ms = self.broken is not None or self._opened_ms is None, None
        self.outbox.clear()
        return [] if told else [_doubt(f"the account stream ended: {reason}", now_ms)]

    def resync(self, market: str) -> None:
        """Raises KeyError: there is no book here."""
        raise KeyError(market)

    def _acknowledged(self, frame: wire.Notice, now_ms: int) -> list[Any]:
        kind = {1: "account", 2: "logs", 3: "slot"}.get(frame.id or 0)
        if kind is None or frame.result is None:
            self.unknown_words += 1
            return []
        self._kinds[frame.result] = kind
        return [_doubt("a new stream does not tell what was before", now_ms)] if len(self._kinds) == 3 else []

    def _account(self, raw: msgspec.Raw, now_ms: int) -> list[Any]:
        slot, data = wire.one_account(raw)
        if data is None:
            raise WireError("the account is gone")
        user = layout.read_user(self._rows.profile.layout, data)
        if not self._heard.user(user, slot):
            return []
        orders = {one.venue_order_id: one for one in self._rows.orders(user, now_ms)}
        found: list[Any] = [one for name, one in orders.items() if not _same(one, self._shown.get(name))]
        for name in self._shown.keys() - orders.keys():
            self._vanished[name] = now_ms
        self._shown = orders
        held = {one.market: one for one in self._rows.positions(user, now_ms)}
        flat = [
            PositionSeen(facts.NAME, key, 0, None, None, None, now_ms)
            for key, before in self._positions.items()
            if key not in held and before.lots
        ]
        found += [
            one for key, one in held.items() if key not in self._positions or one.lots != self._positions[key].lots
        ]
        self._positions = held
        return found + flat

    def _logs(self, raw: msgspec.Raw, now_ms: int) -> list[Any]:
        told = wire.decode_logs(raw).value
        if told.failed:
            return []  # changed nothing
        logged = events.read_logs(told.logs, self._program, self._rows.profile.layout)
        client_id = self._rows.names.of_signature(told.signature)
        found: list[Any] = [] if logged.whole else self._unclear("a record that cannot be read", now_ms)
        for record in logged.records:
            if client_id is not None:
                self._rows.placed(record, client_id)
            try:
                rows = self._rows.record(record, now_ms)
            except UNREADABLE as error:
                found += self._unclear(f"{error}", now_ms)
                continue
            for one in rows:
                if isinstance(one, OrderSeen):
                    self._vanished.pop(one.venue_order_id, None)
                    self._shown.pop(one.venue_order_id, None)
                if not isinstance(one, ExecutionSeen) or self._heard.first(one):
                    found.append(one)
        return found

    def _unclear(self, what: str, now_ms: int) -> list[Any]:
        self.bad_frames += 1
        return [_doubt(what[:200], now_ms)]


def _same(one: OrderSeen, other: OrderSeen | None) -> bool:
    return other is not None and msgspec.structs.replace(one, at_ms=other.at_ms) == other


def _doubt(detail: str, now_ms: int) -> Incident:
    return Incident(facts.NAME, IN_DOUBT, detail, now_ms)


def _steps(market: Market) -> tuple[int, int]:
    """(tick, step) in the chain's units."""
    return (
        market.price_grid.step * 10 ** (facts.PRICE_DECIMALS - market.price_grid.decimals),
        market.size_grid.step * 10 ** (facts.BASE_DECIMALS - market.size_grid.decimals),
    )


def _side(direction: int | None) -> Side:
    if direction not in (layout.LONG, layout.SHORT):
        raise WireError(f"neither long nor short: {direction}")
    return Side.BUY if direction == layout.LONG else Side.SELL

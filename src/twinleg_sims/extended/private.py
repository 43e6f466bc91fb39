"""The private door: who comes in, what they may write, and what the account must allow before an order gets an id.

Answers come before the engine decides; the truth follows on the account stream (account_feed.py), and later still in
the reads (private_reads.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count

from twinleg_sims.account import Tier
from twinleg_sims.accounts import Accounts, Rules
from twinleg_sims.extended import account_wire, door, facts, keys
from twinleg_sims.extended.account_feed import AccountFeed
from twinleg_sims.extended.door import Admitted
from twinleg_sims.extended.facts import Conduct, ErrorCode
from twinleg_sims.extended.feed import VENUE, Publication
from twinleg_sims.extended.keys import Member
from twinleg_sims.extended.private_reads import PrivateReads
from twinleg_sims.extended.replies import RefusedError, ok
from twinleg_sims.extended.requests import LeverageBody, MassCancelBody, OrderBody, parse
from twinleg_sims.faults import Faults
from twinleg_sims.liquidation import LiquidationRules
from twinleg_sims.margin import MarginRules, cost
from twinleg_sims.market import SimMarket
from twinleg_sims.orders import OwnOrder, Wish
from twinleg_sims.positions import MICRO, PPM
from twinleg_sims.protocol import AccountError, AccountRequest, HttpReply, HttpRequest
from twinleg_sims.world import World

PREFIXES = ("user", "vault", "builder", "auth")
EMPTY = HttpReply(200, b"")
"""The venue's answer to the dead man's switch has no body."""


def _maintenance_ppm(market: SimMarket, value: int) -> int:
    """Half the risk factor of the tier a value falls into: each further 4M costs one more base factor."""
    leverage = market.listing.max_leverage
    tier = min(leverage, max(1, -(-value // (facts.RISK_TIER_VALUE_USD * MICRO))))
    return PPM * tier // (2 * leverage)


def _initial_ppm(market: SimMarket) -> int:
    return PPM // min(facts.DEFAULT_LEVERAGE, market.listing.max_leverage)


MARGIN = MarginRules(_maintenance_ppm, _initial_ppm)


class Private:
    """Every account of the venue, behind its keys."""

    def __init__(self, world: World, faults: Faults, conduct: Conduct, workers: dict[str, int]) -> None:
        liquidation = LiquidationRules(
            facts.LIQUIDATION_SLICES,
            facts.LIQUIDATION_SLICE_MIN_USD * MICRO,
            fill_or_kill=True,
            worse_ppm=facts.LIQUIDATION_WORSE_PPM,
            fee_ppm=0,
        )
        rules = Rules(MARGIN, liquidation, "rejected" if conduct.post_only_rejected else "cancelled")
        self.accounts = Accounts(world, VENUE, rules, faults)
        self.members: dict[str, Member] = {}
        """By API key."""
        self._world = world
        self._faults = faults
        self._markets = {market.symbol: market for market in world.markets(VENUE)}
        self._reads = PrivateReads(self._markets, self.members, workers, MARGIN)
        self._feeds: dict[str, AccountFeed] = {}
        self._workers = workers
        self._rest_lag_ms, self._verifies = conduct.rest_lag_ms, conduct.signatures
        self._groups = count(-1, -1)

    def open_account(self, asked: AccountRequest) -> dict[str, object]:
        """A funded account with keys of its own. Raises AccountError."""
        if not 0 <= asked.equity_usd <= 1e12:
            raise AccountError(f"an equity of {asked.equity_usd} makes no sense")
        if asked.tier:
            raise AccountError("Extended's accounts have fees, not tiers")
        relatives = {
            key: member for key, member in self.members.items() if asked.wallet and member.wallet == asked.wallet
        }
        terms = self._markets[next(iter(self._markets))].terms
        taker = terms.taker_fee_bps if asked.taker_bps is None else asked.taker_bps
        maker = terms.maker_fee_bps if asked.maker_bps is None else asked.maker_bps
        tier = Tier(round(taker * 100), round(maker * 100), terms.taker_delay_ms, terms.maker_delay_ms)
        kin = [member.account for member in relatives.values()]
        account = self.accounts.create(tier, round(asked.equity_usd * MICRO), asked.name, kin)
        member = keys.admit(self._world.seed, account, asked.wallet, relatives)
        member.verifies = self._verifies
        while account.reports:
            member.mirror.add(account.reports.popleft(), 0)
        member.mirror.advance(0)
        self.members[member.api_key] = member
        self._feeds[member.api_key] = AccountFeed(member, self._workers, MARGIN, self._world.seed)
        return member.credentials()

    def member(self, api_key: str | None, now_ms: int) -> Member:
        """Who has this key. Raises RefusedError 401 (no such key, revoked) and 1010 (maintenance)."""
        if self._faults.active(VENUE, "maintenance", now_ms):
            raise RefusedError(400, ErrorCode.MAINTENANCE, "The venue is under maintenance")
        member = self.members.get(api_key or "")
        if member is None or self._faults.active(VENUE, "key_revoked", now_ms):
            raise RefusedError(401, ErrorCode.UNAUTHORIZED, "X-Api-Key is missing" if not api_key else "Unauthorized")
        return member

    def opening(self, member: Member, now_ms: int) -> list[Publication]:
        """What an account stream begins with."""
        return self._feeds[member.api_key].opening(now_ms)

    def advance(self, now_ms: int) -> Iterator[Publication]:
        """What became due on the account streams; and what reads show moves on, as late as it is."""
        stale = self._faults.active(VENUE, "rest_lag", now_ms)
        lag_ms = self._rest_lag_ms + (int(stale.value) if stale else 0)
        for key, member in self.members.items():
            yield from self._feeds[key].advance(now_ms)
            member.mirror.advance(now_ms - lag_ms)

    def answer(self, segments: list[str], request: HttpRequest, now_ms: int) -> HttpReply:
        """Answer a request below one of PREFIXES. Raises RefusedError."""
        member = self.member(request.headers.get("x-api-key"), now_ms)
        match request.method, segments:
            case "GET", ["user", *what]:
                return self._reads.get(member, what, request)
            case "POST", ["user", "order", *kind] if kind in ([], ["rfq"]):
                return self._place(member, parse(request.body, OrderBody), now_ms, rfq=bool(kind))
            case "DELETE", ["user", "order", text] if text.isdecimal():
                return self._cancel(
                    member, [o for o in self._known(member) if account_wire.order_id(member, o) == int(text)]
                )
            case "DELETE", ["user", "order"]:
                name = request.first("externalId")
                return self._cancel(member, [order for order in self._known(member) if order.wish.client_id == name])
            case "POST", ["user", "order", "massCancel"]:
                return self._mass_cancel(member, parse(request.body, MassCancelBody))
            case "POST", ["user", "deadmanswitch"]:
                return self._dead_man(member, request, now_ms)
            case "PATCH", ["user", "leverage"]:
                return self._set_leverage(member, parse(request.body, LeverageBody))
            case "POST", ["user", "claim"]:
                return self._claim(member, now_ms)
        raise RefusedError(404, ErrorCode.NOT_FOUND, f"not simulated: {request.method} {request.path}")

    # Placing

    def _place(self, member: Member, body: OrderBody, now_ms: int, *, rfq: bool) -> HttpReply:
        market = self._market(body.market, now_ms)
        if market.listing.rfq != rfq:
            raise RefusedError(400, ErrorCode.NOT_ALLOWED, "RFQ markets have an endpoint of their own")
        admitted = door.admit(member, market, body, now_ms)
        if admitted.digest in member.digests or body.id in member.names:
            raise RefusedError(400, ErrorCode.DUPLICATE, "Duplicate order")
        if self.accounts.hit("reject", body.market, member.account):
            raise RefusedError(400, ErrorCode.COST, "New order cost exceeds available balance")
        previous = self._edited(member, body)
        self._check_account(member, admitted, previous)
        group = next(self._groups) if len(admitted.wishes) > 1 else 0
        placed = [self.accounts.place(member.account, replace(wish, group=group), previous) for wish in admitted.wishes]
        member.remember(admitted.digest, body.id)
        return ok({"id": account_wire.order_id(member, placed[0]), "externalId": body.id})

    def _market(self, name: str, now_ms: int) -> SimMarket:
        market = self._markets.get(name)
        if market is None or self._faults.active(VENUE, "vanish", now_ms, name):
            raise RefusedError(400, ErrorCode.MARKET_NOT_FOUND, f"Market not found: {name}")
        if self.accounts.mode(market) == "halted":
            raise RefusedError(400, ErrorCode.MARKET_DISABLED, f"Market is disabled: {name}")
        return market

    def _edited(self, member: Member, body: OrderBody) -> OwnOrder | None:
        """The live order an edit is about."""
        if body.cancel_id is None:
            return None
        for order in member.account.orders.values():
            if order.wish.client_id == body.cancel_id and order.market.symbol == body.market:
                return order
        raise RefusedError(400, ErrorCode.EDITED_ORDER_NOT_FOUND, "Edit order not found")

    def _check_account(self, member: Member, admitted: Admitted, previous: OwnOrder | None) -> None:
        """What the account's state forbids."""
        wish, account = admitted.wishes[0], member.account
        symbol = wish.market.symbol
        if self.accounts.mode(wish.market) == "reduce_only" and not wish.reduce_only:
            raise RefusedError(400, ErrorCode.MARKET_REDUCE_ONLY, "Market is in reduce-only mode")
        if wish.reduce_only:
            self._check_reduce_only(member, wish)
        there = sum(1 for order in account.orders.values() if order.market is wish.market and order is not previous)
        if there + len(admitted.wishes) > facts.OPEN_ORDERS_MAX:
            raise RefusedError(400, ErrorCode.TOO_MANY_ORDERS, "Too many open orders")
        if wish.reduce_only or wish.trigger is not None:
            return
        grown = abs(account.lots(symbol) + (wish.lots if wish.side == "bid" else -wish.lots))
        if grown * wish.market.listing.lot * wish.market.mark_price > facts.POSITION_VALUE_MAX_USD:
            raise RefusedError(400, ErrorCode.POSITION_TOO_BIG, "Max position value exceeded")
        needed = cost(account, MARGIN, wish.market, wish.side, (wish.ticks, wish.lots))
        available = self.accounts.figures(account).available
        if previous is not None and previous.state == "open":
            available += cost(account, MARGIN, wish.market, previous.side, (previous.ticks, previous.open_lots))
        if needed > max(0, available):
            raise RefusedError(400, ErrorCode.COST, "New order cost exceeds available balance")

    def _check_reduce_only(self, member: Member, wish: Wish) -> None:
        held = member.account.lots(wish.market.symbol)
        if held == 0:
            raise RefusedError(400, ErrorCode.REDUCE_ONLY_NO_POSITION, "Reduce-only order without a position")
        if (held > 0) == (wish.side == "bid"):
            raise RefusedError(400, ErrorCode.REDUCE_ONLY_SAME_SIDE, "Reduce-only order on the position's side")
        if wish.lots > abs(held):
            raise RefusedError(400, ErrorCode.REDUCE_ONLY_SIZE, "Reduce-only order is bigger than the position")

    # Cancelling

    def _known(self, member: Member) -> Iterable[OwnOrder]:
        """Live orders, then those that ended and are still remembered."""
        yield from member.account.orders.values()
        yield from (order for order in member.mirror.orders.values() if order.id not in member.account.orders)

    def _cancel(self, member: Member, orders: list[OwnOrder]) -> HttpReply:
        """Accepted for every order that is or was; the engine does what can still be done. Legs go together."""
        if not orders:
            raise RefusedError(404, ErrorCode.NOT_FOUND, "Order not found")
        self._send_cancels(member, orders)
        return HttpReply(200, b'{"status":"OK"}')

    def _mass_cancel(self, member: Member, body: MassCancelBody) -> HttpReply:
        if not (body.order_ids or body.external_order_ids or body.markets or body.cancel_all):
            raise RefusedError(400, ErrorCode.BAD_PARAMETERS, "nothing to cancel is named")
        self._send_cancels(
            member,
            [
                order
                for order in member.account.orders.values()
                if body.cancel_all
                or account_wire.order_id(member, order) in body.order_ids
                or order.wish.client_id in body.external_order_ids
                or order.market.symbol in body.markets
            ],
        )
        return HttpReply(200, b'{"status":"OK"}')

    def _send_cancels(self, member: Member, orders: Iterable[OwnOrder]) -> None:
        if self.accounts.hit("cancel_refused", account=member.account):
            raise RefusedError(400, ErrorCode.APPLICATION_ERROR, "Internal application error")
        live = member.account.orders
        named = {order.id for order in orders if order.id in live}
        groups = {live[number].wish.group for number in named} - {0}
        for order in list(live.values()):
            if order.id in named or order.wish.group in groups:
                self.accounts.cancel(member.account, order)

    def _dead_man(self, member: Member, request: HttpRequest, now_ms: int) -> HttpReply:
        """Cancel all orders in so many seconds, unless it is called again; 0 disarms."""
        text = request.first("countdownTime") or ""
        if not (text.isdecimal() and len(text) < 8):
            raise RefusedError(400, ErrorCode.BAD_PARAMETERS, "countdownTime is missing")
        self.accounts.set_dead_man(member.account, now_ms + int(text) * 1_000 if int(text) else None)
        return EMPTY

    # The account

    def _set_leverage(self, member: Member, body: LeverageBody) -> HttpReply:
        market = self._markets.get(body.market)
        if market is None:
            raise RefusedError(400, ErrorCode.MARKET_NOT_FOUND, f"Market not found: {body.market}")
        if body.leverage < 1:
            raise RefusedError(400, ErrorCode.LEVERAGE_TOO_LOW, "Leverage is below the minimum")
        if body.leverage > market.listing.max_leverage:
            raise RefusedError(400, ErrorCode.LEVERAGE_TOO_HIGH, "Leverage is above the maximum")
        if body.leverage * 100 % 1:
            raise RefusedError(400, ErrorCode.LEVERAGE_PRECISION, "Invalid leverage precision")
        account = member.account
        before = account.initial_ppm.get(market.symbol, _initial_ppm(market))
        account.initial_ppm[market.symbol] = ppm = int(PPM // body.leverage)
        short = ppm > before and self.accounts.figures(account).available < 0
        account.initial_ppm[market.symbol] = before
        if short:
            raise RefusedError(400, ErrorCode.LEVERAGE_MARGIN, "Not enough margin for this leverage")
        self.accounts.set_leverage(account, market, ppm)
        return ok({})

    def _claim(self, member: Member, now_ms: int) -> HttpReply:
        """The faucet, once a day."""
        if member.claims and now_ms - member.claims[-1][0] < facts.FAUCET_INTERVAL_MS:
            raise RefusedError(400, ErrorCode.NOT_ALLOWED, "Already claimed today")
        member.claims.append((now_ms, facts.FAUCET_USD * MICRO))
        self.accounts.deposit(member.account, facts.FAUCET_USD * MICRO)
        return ok({"id": facts.snowflake(now_ms, member.worker, 0)})

"""The private GET endpoints, from an account's mirror: what they show is a little old."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twinleg_sims.extended import account_wire, facts
from twinleg_sims.extended.account_wire import Body
from twinleg_sims.extended.facts import ErrorCode
from twinleg_sims.extended.keys import Member
from twinleg_sims.extended.replies import RefusedError, ok
from twinleg_sims.margin import MarginRules, figures, initial_ppm
from twinleg_sims.market import SimMarket
from twinleg_sims.positions import PPM, Fill
from twinleg_sims.protocol import HttpReply, HttpRequest

OPERATIONS_PER_PAGE = 50


class PrivateReads:
    """Routes and bodies. `members` are by API key, `workers` the markets' numbers in trade ids."""

    def __init__(
        self,
        markets: Mapping[str, SimMarket],
        members: Mapping[str, Member],
        workers: Mapping[str, int],
        rules: MarginRules,
    ) -> None:
        self._markets = markets
        self._members = members
        self._workers = workers
        self._rules = rules

    def get(self, member: Member, segments: list[str], request: HttpRequest) -> HttpReply:
        """Answer GET /user/`segments`. Raises RefusedError."""
        match segments:
            case ["positions", *rest]:
                return self._positions(member, rest, request)
            case ["orders", *rest]:
                return self._orders(member, rest, request)
            case ["trades"]:
                return self._trades(member, request)
            case ["funding", "history"]:
                return self._funding(member, request)
            case ["assetOperations"]:
                return self._operations(member, request)
        return ok(self._state(member, segments, request))

    def _state(self, member: Member, segments: list[str], request: HttpRequest) -> Body | list[Body]:
        """What is not a list of things that happened."""
        match segments:
            case ["account", "info"]:
                return account_wire.account_row(member)
            case ["accounts"]:
                relatives = [other for other in self._members.values() if other.wallet == member.wallet]
                return [account_wire.account_row(relative) for relative in relatives]
            case ["client", "info"]:
                return account_wire.client_row(member)
            case ["balance"]:
                return account_wire.balance_row(figures(member.mirror, self._rules), member.mirror.updated_ms)
            case ["spot", "balances"]:
                return []
            case ["bridge", "config"]:
                return {"chains": []}
            case ["fees"]:
                return [_fee_row(member, name) for name in request.all("market") or self._markets]
            case ["leverage"]:
                return [self._leverage_row(member, name) for name in request.all("market") or self._markets]
        raise RefusedError(404, ErrorCode.NOT_FOUND, f"not simulated: {request.path}")

    def _positions(self, member: Member, rest: list[str], request: HttpRequest) -> HttpReply:
        mirror = member.mirror
        if not rest:
            rows = [
                account_wire.position_row(member, position, mirror, self._rules)
                for position in mirror.positions.values()
            ]
            return ok([row for row in rows if _wanted(row, request)])
        if rest == ["history"]:
            rows = [account_wire.history_row(member, position, mirror, self._rules) for position in mirror.closed]
            return _page(rows, request)
        raise RefusedError(404, ErrorCode.NOT_FOUND, f"not simulated: {request.path}")

    def _orders(self, member: Member, rest: list[str], request: HttpRequest) -> HttpReply:
        mirror = member.mirror
        match rest:
            case []:
                rows = [account_wire.order_row(member, order) for order in mirror.open_orders()]
                return ok([row for row in rows[::-1] if _wanted(row, request, "type")])
            case ["history"]:
                ended = [account_wire.order_row(member, order) for order in mirror.orders.values() if not order.live]
                rows = [row for row in ended if _wanted(row, request, "type") and _named(row, request)]
                return _page(rows, request, by="updatedTime" if request.first("sort") == "UPDATED_AT" else "id")
            case ["external", name]:
                return ok(
                    [account_wire.order_row(member, o) for o in mirror.orders.values() if o.wish.client_id == name]
                )
            case [text] if text.isdecimal():
                for order in mirror.orders.values():
                    if account_wire.order_id(member, order) == int(text):
                        return ok(account_wire.order_row(member, order))
        raise RefusedError(404, ErrorCode.NOT_FOUND, "Order not found")

    def _trades(self, member: Member, request: HttpRequest) -> HttpReply:
        rows = [self._trade_row(member, fill) for fill in member.mirror.fills]
        kind = request.first("type")
        return _page([row for row in rows if kind in (None, row["tradeType"])], request)

    def _trade_row(self, member: Member, fill: Fill) -> Body:
        return account_wire.trade_row(member, fill, self._workers, member.mirror.orders.get(fill.order))

    def _funding(self, member: Member, request: HttpRequest) -> HttpReply:
        mirror = member.mirror
        ids = {p.id: account_wire.position_id(member, p) for p in (*mirror.closed, *mirror.positions.values())}
        from_ms = integer(request, "fromTime", 0)
        rows = [
            account_wire.payment_row(member, payment, ids.get(payment.position, 0))
            for payment in mirror.payments
            if payment.at_ms >= from_ms
        ]
        return _page(rows, request)

    def _operations(self, member: Member, request: HttpRequest) -> HttpReply:
        """The faucet's gifts: nothing else moves money here."""
        rows: list[Body] = [
            {
                "id": str(facts.snowflake(at_ms, member.worker, 0)),
                "type": "CLAIM",
                "status": "COMPLETED",
                "amount": account_wire.money(micro),
                "fee": "0",
                "asset": 1,
                "time": at_ms,
                "accountId": member.account_id,
            }
            for at_ms, micro in member.claims
        ]
        rows = [row for row in rows if _named(row, request) and _among(row["type"], request.all("type"))]
        return _page(rows, request, most=OPERATIONS_PER_PAGE)

    def _leverage_row(self, member: Member, name: str) -> Body:
        market = self._markets.get(name)
        if market is None:
            raise RefusedError(400, ErrorCode.MARKET_NOT_FOUND, f"Market not found: {name}")
        ppm = initial_ppm(member.mirror, self._rules, market)
        return {"market": name, "leverage": account_wire.leverage_text(ppm)}


def _fee_row(member: Member, name: str) -> Body:
    tier = member.account.tier
    return {
        "market": name,
        "makerFeeRate": f"{tier.maker_ppm / PPM:.6f}",
        "takerFeeRate": f"{tier.taker_ppm / PPM:.6f}",
        "builderFeeRate": "0",
    }


def _wanted(row: Body, request: HttpRequest, *further: str) -> bool:
    """Whether a row passes the filters of market, side and what else its endpoint knows."""
    return _among(row["market"], request.all("market")) and all(
        request.first(name) in (None, row[name]) for name in ("side", *further)
    )


def _named(row: Body, request: HttpRequest) -> bool:
    return _among(str(row["id"]), request.all("id")) and _among(row.get("externalId"), request.all("externalId"))


def _among(value: Any, wanted: list[str]) -> bool:
    return not wanted or value in wanted


def _page(rows: list[Body], request: HttpRequest, *, by: str = "id", most: int = facts.ROWS_MAX) -> HttpReply:
    """Newest first; a page goes on below the id that ended the last one."""
    limit = min(integer(request, "limit", most), most)
    cursor = integer(request, "cursor", 0)
    key: Callable[[Body], int] = lambda row: int(row[by])  # noqa: E731
    found = [
        row for row in rows if ("market" not in row or _wanted(row, request)) and (not cursor or key(row) < cursor)
    ]
    page = sorted(found, key=key, reverse=True)[:limit]
    return ok(page, cursor=key(page[-1]) if page else cursor)


def integer(request: HttpRequest, name: str, default: int) -> int:
    """A query parameter. Raises RefusedError."""
    text = request.first(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise RefusedError(400, ErrorCode.BAD_REQUEST, f"{name} is not a positive whole number")
    return int(text)

"""What an account is shown: money that adds up, reads in the SDK's shapes, budgets, tiers, tokens."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from lighter import models
from lighter_bench import Bench
from lighter_trader import ETH, IOC, LEVERAGE, POST_ONLY, UNVERIFIED, Trader, trading

from twinleg_sims.lighter import account_wire
from twinleg_sims.lighter.facts import STANDARD
from twinleg_sims.lighter.gate import Setup
from twinleg_sims.lighter.private import RULES
from twinleg_sims.margin import figures
from twinleg_sims.positions import MICRO, Position
from twinleg_sims.protocol import AccountError, AccountRequest, HttpRequest

BEFORE_THE_HOUR_MS = 1_795_197_600_000 - 40_000


def traded(seed: int, steps: int = 25, **trader: Any) -> Trader:
    """A trader after some random orders, makers and takers of both sides."""
    desk, dice = trading(start_ms=BEFORE_THE_HOUR_MS, **trader), Random(seed)
    for step in range(1, steps + 1):
        sells = dice.randrange(2)
        if dice.random() < 0.6:
            price = desk.ticks("bid" if sells else "ask", 500)
            desk.accepted(step, dice.randrange(50, 3_000), price, IsAsk=sells, TimeInForce=IOC)
        else:
            price = desk.ticks("ask" if sells else "bid", dice.randrange(-2, 30))
            desk.accepted(step, dice.randrange(200, 3_000), price, IsAsk=sells)
        desk.bench.run(dice.randrange(0, 4_000))
    desk.bench.run(3_000)
    return desk


def own_trades(trader: Trader) -> list[dict[str, Any]]:
    """All of them, page by page, oldest first."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = trader.get("trades", account_index=trader.index, sort_by="timestamp", sort_dir="asc", limit=7, **cursor)
        rows += page["trades"]
        if "next_cursor" not in page:
            return rows
        cursor = {"cursor": page["next_cursor"]}


def micro(text: str) -> int:
    return round(float(text) * 1_000_000)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_money_adds_up(seed: int) -> None:
    """Collateral = deposit + profit of the trades - fees + funding; the position is the sum of the trades."""
    trader = traded(seed)
    trades = own_trades(trader)
    assert len(trades) > 20
    sides = ["ask" if row["ask_account_id"] == trader.index else "bid" for row in trades]
    assert all(row[f"{side}_account_id"] == trader.index for row, side in zip(trades, sides, strict=True))
    profit = sum(micro(row[f"{side}_account_pnl"]) for row, side in zip(trades, sides, strict=True))
    paid = trader.get("positionFunding", account_index=trader.index, limit=100)["position_fundings"]
    assert trader.bench.world.now_ms > BEFORE_THE_HOUR_MS + 40_000
    row = trader.row()
    funding = sum(micro(payment["change"]) for payment in paid)
    assert micro(row["collateral"]) == 100_000_000_000 + profit + funding
    size = sum(float(t["size"]) * (1 if s == "bid" else -1) for t, s in zip(trades, sides, strict=True))
    assert trader.position() == pytest.approx(size, abs=1e-9)
    held = sum(micro(p["unrealized_pnl"]) for p in row["positions"])
    assert micro(row["total_asset_value"]) == micro(row["collateral"]) + held
    figures = trader.bench.venue.accounts.figures(trader.engine)
    assert micro(row["available_balance"]) == figures.available
    orders = trader.get("accountOrders", account_index=trader.index, client_order_indexes=",".join(map(str, range(26))))
    filled = {row["order_index"]: micro(row["filled_base_amount"]) for row in orders["orders"]}
    by_order: dict[int, int] = {}
    for trade, side in zip(trades, sides, strict=True):
        by_order[trade[f"{side}_id"]] = by_order.get(trade[f"{side}_id"], 0) + micro(trade["size"])
    assert by_order == {index: size for index, size in filled.items() if size}


def test_before_sizes_follow_each_other() -> None:
    trader = traded(5)
    lots = 0
    for row in own_trades(trader):
        mine = "ask" if row["ask_account_id"] == trader.index else "bid"
        role = "maker" if row["is_maker_ask"] == (mine == "ask") else "taker"
        before = round(float(row[f"{role}_position_size_before"]) * 10_000)
        assert before == lots
        lots += round(float(row["size"]) * 10_000) * (1 if mine == "bid" else -1)
        assert row[f"{role}_position_sign_changed"] == (before * lots < 0)


def test_everybody_sees_the_same_trades_and_orders() -> None:
    trader = traded(2, steps=8)
    trader.accepted(99, 777, trader.ticks("bid", 50))
    trader.bench.run(320)
    mine = {row["trade_id"]: row for row in own_trades(trader)}
    public = trader.bench.body("/api/v1/recentTrades", market_id=ETH, limit=100)["trades"]
    seen = {row["trade_id"]: row for row in public if trader.index in (row["ask_account_id"], row["bid_account_id"])}
    assert seen
    assert all(mine[number] == row for number, row in seen.items())
    bids = trader.bench.body("/api/v1/orderBookOrders", market_id=ETH, limit=250)["bids"]
    resting = {row["order_index"] for row in bids if row["owner_account_index"] == trader.index}
    active = trader.get("accountActiveOrders", account_index=trader.index)["orders"]
    assert resting == {row["order_index"] for row in active if not row["is_ask"]}
    assert trader.found(99)["order_index"] in resting


def test_funding_is_charged_at_the_hour() -> None:
    trader = trading(start_ms=BEFORE_THE_HOUR_MS)
    trader.hold(2_000)
    collateral = micro(trader.row()["collateral"])
    trader.bench.run(41_000, step_ms=500)
    [paid] = trader.get("positionFunding", account_index=trader.index, limit=10)["position_fundings"]
    settled = trader.market.funding.settled[-1]
    assert float(paid["rate"]) == settled.rate_per_hour
    assert micro(paid["change"]) == pytest.approx(-0.2 * settled.price * settled.rate_per_hour * 1e6, abs=1)
    assert micro(trader.row()["collateral"]) == collateral + micro(paid["change"])
    assert (paid["position_side"], paid["position_size"]) == ("long", "0.2000")
    [row] = trader.row()["positions"]
    assert micro(row["total_funding_paid_out"]) == -micro(paid["change"])


def test_the_liquidation_price_is_where_it_happens() -> None:
    trader = trading(equity_usd=400)
    trader.hold(10_000)
    row, [position] = trader.row(), trader.row()["positions"]
    price, entry = float(position["liquidation_price"]), float(position["avg_entry_price"])
    value = float(row["collateral"]) + (price - entry)
    rate = trader.bench.body("/api/v1/orderBookDetails", market_id=ETH)["order_book_details"][0]
    assert value == pytest.approx(price * rate["maintenance_margin_fraction"] / 10_000, abs=0.02)


RECORDED = Path(__file__).parents[2] / "data/lighter/ccxt_http_responses.json"


def test_a_recorded_account_s_figures_come_out_of_ours() -> None:
    """18.0193 ETH long from 2669.84 with 9100.242706 of collateral was to be liquidated at 2191.1107231380406."""
    recorded = json.loads(RECORDED.read_text())["GET /api/v1/account (open ETH position)"]["accounts"][0]
    [position] = recorded["positions"]
    trader = trading()
    market, value = trader.market, float(position["position_value"])
    market.mark_price = value / float(position["position"])
    held = Position(1, market, 0, 0, lots=180_193, last_lots=180_193)
    held.cost_micro = round(float(position["avg_entry_price"]) * float(position["position"]) * MICRO)
    trader.engine.positions["ETH"] = held
    unrealised = held.unrealised_micro(market.mark_price)
    assert unrealised / MICRO == pytest.approx(float(position["unrealized_pnl"]), abs=0.1), "the entry is rounded"
    trader.engine.balance_micro = micro(recorded["total_asset_value"]) - unrealised
    now = figures(trader.engine, RULES.margin)
    assert now.available == pytest.approx(micro(recorded["available_balance"]), abs=2)
    ours = float(account_wire.liquidation_price(held, RULES.margin, now))
    assert ours == pytest.approx(float(position["liquidation_price"]), abs=1e-6)


def test_an_account_has_every_recorded_field_with_its_type() -> None:
    recorded = json.loads(RECORDED.read_text())["GET /api/v1/account (open ETH position)"]["accounts"][0]
    trader = trading()
    trader.hold(500)
    ours = trader.row()
    for theirs, row in ((recorded, ours), (recorded["positions"][0], ours["positions"][0])):
        kinds = {name: type(value) for name, value in theirs.items()}
        assert {name: type(row[name]) for name in kinds} == kinds


def test_reads_may_lag_behind_the_streams() -> None:
    trader = trading(setup=Setup(signatures="off", rest_lag_ms=3_000))
    trader.watch("account_all_orders")
    trader.bench.frames()
    trader.accepted(1, 300, trader.ticks("ask", 500), TimeInForce=IOC)
    trader.bench.run(400)
    assert len(trader.told("update/account_all_orders")) == 1
    assert trader.get("accountInactiveOrders", account_index=trader.index, limit=5)["orders"] == []
    assert trader.position() == 0
    trader.bench.run(3_000)
    assert trader.status(1) == "filled"
    assert trader.position() == 0.03


DECLARED: list[tuple[str, Any]] = [
    ("order", models.Order),
    ("trade", models.Trade),
    ("account", models.DetailedAccount),
    ("position", models.AccountPosition),
    ("asset", models.AccountAsset),
    ("tx", models.EnrichedTx),
    ("key", models.ApiKey),
    ("limits", models.AccountLimits),
    ("payment", models.PositionFunding),
    ("sub_account", models.Account),
    ("ack", models.RespSendTx),
    ("token", models.ApiToken),
    ("pnl", models.PnLEntry),
    ("liquidation", models.Liquidation),
]
LEFT_OUT = {"message", "bo_positions", "market_symbol", "description", "can_invite"}
"""Optional everywhere, or written only where the venue does."""


@pytest.fixture(scope="module")
def shown() -> dict[str, dict[str, Any]]:
    """One of everything an account can read."""
    trader = trading(start_ms=BEFORE_THE_HOUR_MS)
    trader.hold(2_000)
    ack = trader.create(1, 200, trader.ticks("bid", 5_000))
    trader.bench.run(42_000, step_ms=500)
    trader.bench.fault("lighter:liquidate:count=1")
    trader.bench.run(600)
    me = trader.index
    token = {"name": "n", "account_index": str(me), "expiry": str(trader.bench.world.now_ms // 1000 + 90_000)}
    made = trader.post("tokens/create", **token, sub_account_access="false", auth=trader.token)
    span = {"resolution": "1h", "start_timestamp": 0, "end_timestamp": 5_000_000_000_000, "count_back": 1}
    account = trader.row()
    l1_address = account["l1_address"]
    return {
        "order": trader.found(1),
        "trade": own_trades(trader)[0],
        "account": account,
        "position": account["positions"][0],
        "asset": account["assets"][0],
        "tx": trader.tx(ack["tx_hash"]),
        "key": trader.bench.body("/api/v1/apikeys", account_index=me)["api_keys"][0],
        "limits": trader.get("accountLimits", account_index=me),
        "payment": trader.get("positionFunding", account_index=me, limit=1)["position_fundings"][0],
        "sub_account": trader.bench.body("/api/v1/accountsByL1Address", l1_address=l1_address)["sub_accounts"][0],
        "ack": ack,
        "token": json.loads(made.body),
        "pnl": trader.get("pnl", by="index", value=me, **span)["pnl"][0],
        "liquidation": trader.get("liquidations", account_index=me, limit=1)["liquidations"][0],
    }


@pytest.mark.parametrize(("name", "model"), DECLARED, ids=[name for name, _ in DECLARED])
def test_every_field_the_sdk_declares_is_there_with_its_type(name: str, model: Any, shown: dict[str, Any]) -> None:
    """The SDK builds objects without validating: a missing field would be None, and nobody would say so."""
    row = shown[name]
    fees = {"taker_fee", "maker_fee"} if name == "trade" else set()  # left out when zero, as the venue does
    pools = {"pool_info"} if name == "account" else set()  # nobody here is a pool
    missing = {field.alias or key for key, field in model.model_fields.items()} - set(row) - LEFT_OUT - fees
    assert missing - {"additional_properties"} == set()
    model.model_validate({"code": 200} | {key: value for key, value in row.items() if key not in pools} | _pool(pools))


def _pool(names: set[str]) -> dict[str, Any]:
    empty = dict.fromkeys(("total_shares", "operator_shares", "annual_percentage_yield", "sharpe_ratio", "status"), 0)
    lists: dict[str, Any] = {name: [] for name in ("daily_returns", "share_prices", "strategies")}
    return {name: empty | lists | {"operator_fee": "", "min_operator_share_rate": ""} for name in names}


def test_a_standard_account_sends_sixty_times_a_minute() -> None:
    trader = trading(limits=STANDARD)
    codes = [trader.create(0, 200, trader.ticks("bid", 5_000))["code"] for _ in range(61)]
    assert codes == [200] * 60 + [23000]
    assert trader.nonce == 60
    other = Trader(trader.bench)
    assert other.create(0, 200, other.ticks("bid", 5_000))["code"] == 200, "budgets are the wallet's"
    trader.bench.run(60_001, step_ms=1_000)
    assert trader.venue_nonce() == 60
    assert trader.create(0, 200, trader.ticks("bid", 5_000))["code"] == 200


def tiered(trader: Trader, tier: str) -> dict[str, Any]:
    form = {"account_index": str(trader.index), "new_tier": tier}
    answer: dict[str, Any] = json.loads(trader.post("changeAccountTier", **form, auth=trader.token).body)
    return answer


def test_a_premium_account_is_faster_pays_and_has_a_volume_quota() -> None:
    trader = trading(limits=STANDARD)
    assert tiered(trader, "premium")["code"] == 200
    limits = trader.get("accountLimits", account_index=trader.index)
    assert (limits["user_tier"], limits["current_taker_fee_tick"], limits["current_maker_fee_tick"]) == (
        "premium", 280, 40,
    )  # fmt: skip
    trader.accepted(1, 1_000, trader.ticks("ask", 500), TimeInForce=IOC)
    trader.bench.run(199, step_ms=1)
    assert trader.get("accountOrders", account_index=trader.index, client_order_indexes=1)["orders"] == []
    trader.bench.run(1)
    assert trader.status(1) == "filled"
    fees = sum(micro(row["usd_amount"]) * 280 // 1_000_000 for row in own_trades(trader))
    assert micro(trader.row()["collateral"]) == 100_000_000_000 - fees
    assert {row["taker_fee"] for row in own_trades(trader)} == {280}
    answers = [trader.create(0, 200, trader.ticks("bid", 5_000)) for _ in range(3)]
    left = [answer["volume_quota_remaining"] for answer in answers]
    assert left[0] - left[2] == 2
    assert 1_000 < left[0] <= 1_000 + 236 // 10 + 1, "236 dollars were traded"


def test_a_tier_is_changed_by_the_rules() -> None:
    trader = trading()
    assert [tiered(trader, "gold")["code"], tiered(trader, "standard")["code"]] == [62002, 62003]
    trader.accepted(1, 200, trader.ticks("bid", 20_000))
    trader.bench.run(320)
    assert tiered(trader, "plus")["code"] == 62005
    trader.send(16, TimeInForce=0, Time=0)
    trader.hold(200)
    assert tiered(trader, "plus")["code"] == 62004
    trader.hold(-200)
    assert tiered(trader, "plus")["code"] == 200
    assert tiered(trader, "premium")["code"] == 62006


def test_accounts_of_a_wallet_are_kin() -> None:
    bench = Bench(setup=UNVERIFIED)
    first, second, other = Trader(bench, wallet="w"), Trader(bench, wallet="w"), Trader(bench, wallet="x")
    rows = bench.body("/api/v1/accountsByL1Address", l1_address=first.account["l1_address"])["sub_accounts"]
    assert [(row["index"], row["account_type"]) for row in rows] == [(first.index, 0), (second.index, 1)]
    assert bench.body("/api/v1/account", by="l1_address", value=first.account["l1_address"].lower())["total"] == 2
    assert other.account["l1_address"] != first.account["l1_address"]
    second.accepted(1, 200, second.ticks("bid", 5), TimeInForce=POST_ONLY)
    first.accepted(1, 1_000_000, first.ticks("bid", 5_000), IsAsk=1, TimeInForce=IOC, L2TxAttributes={"7": 1})
    bench.run(320)
    assert second.status(1) == "canceled-self-trade"


def test_accounts_are_a_function_of_the_seed() -> None:
    def opened(seed: int) -> list[dict[str, Any]]:
        bench = Bench(seed=seed)
        return [Trader(bench, wallet=wallet).account for wallet in ("a", "b", "a", "")]

    assert opened(4) == opened(4)
    keys = [account["api_private_key"] for seed in (4, 5) for account in opened(seed)]
    assert len(set(keys)) == 8
    for wrong in (AccountRequest(equity_usd=-1.0), AccountRequest(tier="gold")):
        with pytest.raises(AccountError):
            Bench().core.open_account(wrong)
    premium = Trader(Bench(), tier="premium")
    assert premium.engine.tier.taker_ppm == 280


def test_the_same_inputs_give_the_same_bytes() -> None:
    def story() -> list[bytes]:
        trader = trading()
        trader.watch("account_all", "account_all_orders", "account_tx", "user_stats", "account_all_trades")
        for number in range(1, 6):
            trader.accepted(number, 300 * number, trader.ticks("ask", 500), TimeInForce=IOC)
            trader.accepted(10 + number, 300, trader.ticks("bid", 3))
            trader.bench.run(700)
        paths = ("account", "accountInactiveOrders", "trades", "accountTxs")
        queries = ({"by": "index", "value": trader.index}, {"account_index": trader.index, "limit": 50})
        bodies = [trader.get(paths[0], **queries[0]), trader.get(paths[1], **queries[1])]
        return [*trader.bench.payloads(), *(json.dumps(body).encode() for body in bodies)]

    first = story()
    assert len(first) > 30
    assert first == story()


def test_reads_want_a_token_that_lives_and_is_the_account_s_own() -> None:
    trader = trading(setup=Setup())
    now_s = trader.bench.world.now_ms // 1000
    me, key = trader.index, trader.key
    good = trader.real_token
    head, _, signature = good.rpartition(":")
    tokens = {
        "auth field is required": "",
        "invalid auth: malformed token": f"{'9' * 5_000}:{me}:{key}:{signature}",
        "invalid auth: token is expired": f"{now_s}:{me}:{key}:{signature}",
        "invalid auth: token lives too long": f"{now_s + 8 * 3_600 + 1}:{me}:{key}:{signature}",
        "invalid auth: token is another account's": f"{now_s + 60}:1:{key}:{signature}",
        "invalid auth: signature does not verify": f"{head}:{'0' * 160}",
        "invalid auth: no such token": f"ro:{me}:single:{now_s + 90_000}:00",
    }
    for message, token in tokens.items():
        reply = trader.bench.get("/api/v1/accountActiveOrders", account_index=me, auth=token)
        assert (reply.status, json.loads(reply.body)) == (400, {"code": 20001, "message": message})
    assert trader.bench.body("/api/v1/accountActiveOrders", account_index=me, auth=good)["orders"] == []
    unknown = f"{now_s + 60}:{me}:99:{signature}"
    assert trader.bench.get("/api/v1/accountActiveOrders", account_index=me, auth=unknown).status == 400


def test_read_only_tokens_open_reads_and_are_few() -> None:
    trader = trading()
    me = str(trader.index)

    def made(expires_s: int, **form: str) -> dict[str, Any]:
        fields = {"name": "n", "account_index": me, "sub_account_access": "false", "auth": trader.token} | form
        expiry = str(trader.bench.world.now_ms // 1000 + expires_s)
        answer: dict[str, Any] = json.loads(trader.post("tokens/create", expiry=expiry, **fields).body)
        return answer

    refused = [made(10), made(11 * 365 * 86_400), made(90_000, name=""), made(90_000, name="x" * 51)]
    assert [answer["code"] for answer in refused] == [61001, 61002, 61007, 61008]
    assert made(90_000, scopes="write")["code"] == 61004
    token = made(90_000)
    path = "/api/v1/accountActiveOrders"
    assert trader.bench.get(path, account_index=me, auth=token["api_token"]).status == 200
    assert [made(90_000)["code"] for _ in range(10)] == [200] * 9 + [61003]
    assert len(trader.get("tokens", account_index=me)["api_tokens"]) == 10
    revoke = {"token_id": str(token["token_id"]), "account_index": me, "auth": trader.token}
    codes = [json.loads(trader.post("tokens/revoke", **revoke).body)["code"] for _ in range(2)]
    assert codes == [200, 61006]
    assert json.loads(trader.post("tokens/revoke", **revoke | {"token_id": "99"}).body)["code"] == 61005
    assert trader.bench.get(path, account_index=me, auth=token["api_token"]).status == 400


def test_trades_are_filtered_as_asked() -> None:
    trader = traded(3, steps=15)
    rows = own_trades(trader)

    def wanted(**query: object) -> list[int]:
        fields = {"account_index": trader.index, "sort_by": "trade_id", "sort_dir": "asc", "limit": 100} | query
        return [row["trade_id"] for row in trader.get("trades", **fields)["trades"]]

    asks = [row for row in rows if row["ask_account_id"] == trader.index]
    makers = [row for row in rows if (row["ask_account_id"] == trader.index) == row["is_maker_ask"]]
    assert 0 < len(asks) < len(rows)
    assert 0 < len(makers) < len(rows)
    assert wanted() == [row["trade_id"] for row in rows]
    assert wanted(ask_filter=1) == [row["trade_id"] for row in asks]
    assert wanted(role="maker") == [row["trade_id"] for row in makers]
    assert wanted(type="liquidation") == wanted(market_id=1) == []
    first = asks[0]["ask_id"]
    assert wanted(order_index=first) == [row["trade_id"] for row in asks if row["ask_id"] == first]
    everybody = trader.bench.body("/api/v1/trades", sort_by="timestamp", limit=100, market_id=ETH)["trades"]
    assert len(everybody) == 100


def test_inactive_orders_come_in_pages_newest_first() -> None:
    trader = traded(4, steps=12)
    pages: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = trader.get("accountInactiveOrders", account_index=trader.index, limit=3, **cursor)
        pages.append(page)
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    rows = [row for page in pages for row in page["orders"]]
    assert len(rows) == len({row["order_index"] for row in rows}) > 6
    clients = [row["client_order_index"] for row in rows]
    assert clients == sorted(clients, reverse=True)
    since = rows[2]["updated_at"]
    span = f"{since}-{since}"
    found = trader.get("accountInactiveOrders", account_index=trader.index, limit=100, between_timestamps=span)
    assert rows[2] in found["orders"]


def test_a_form_may_be_multipart() -> None:
    trader = trading()
    info = json.dumps(trader.body(**trader.order(1, 200, trader.ticks("bid", 5_000))))
    parts = "".join(
        f'--X\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("tx_type", "14"), ("tx_info", info))
    )
    headers = {"content-type": "multipart/form-data; boundary=X"}
    request = HttpRequest("POST", "/api/v1/sendTx", headers=headers, body=f"{parts}--X--\r\n".encode())
    assert trader.bench.core.http(request, trader.bench.world.now_ms).status == 200


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "nextNonce", {"account_index": "x", "api_key_index": "4"}),
        ("GET", "account", {"by": "name", "value": "1"}),
        ("GET", "tx", {"by": "luck", "value": "1"}),
        ("GET", "tx", {"by": "hash", "value": "00"}),
        ("GET", "accountOrders", {"client_order_indexes": "a"}),
        ("GET", "accountInactiveOrders", {"limit": "101"}),
        ("GET", "accountInactiveOrders", {"limit": "5", "between_timestamps": "5"}),
        ("GET", "trades", {"sort_by": "colour", "limit": "5"}),
        ("GET", "positionFunding", {"market_ids": "x", "limit": "5"}),
        ("GET", "accountMetadata", {"by": "name", "value": "1"}),
        ("GET", "apikeys", {"api_key_index": "77"}),
    ],
)
def test_bad_parameters_are_refused(method: str, path: str, query: dict[str, str]) -> None:
    trader = trading()
    asked = {"account_index": str(trader.index), "auth": trader.token} | query
    reply = trader.bench.core.http(HttpRequest(method, f"/api/v1/{path}", list(asked.items())), 0)
    assert reply.status == 400
    assert json.loads(reply.body)["code"] in (20001, 21500, 21109)


def test_methods_and_histories() -> None:
    trader = trading()
    reply = trader.bench.get("/api/v1/sendTx")
    assert reply.status == 405
    for path, name in (("deposit", "deposits"), ("withdraw", "withdraws"), ("transfer", "transfers")):
        assert trader.get(f"{path}/history", account_index=trader.index)[name] == []
    assert trader.get("transferFeeInfo", account_index=trader.index)["transfer_fee_usdc"] > 0
    assert trader.get("accountMetadata", by="index", value=trader.index)["account_metadatas"]
    trader.send(LEVERAGE, MarketIndex=ETH, InitialMarginFraction=500, MarginMode=0)
    trader.create(1, 200, trader.ticks("bid", 5_000))
    found = trader.get("accountTxs", by="account_index", value=trader.index, limit=10)["txs"]
    assert [row["type"] for row in found] == [14, 20]
    by_number = trader.bench.body("/api/v1/tx", by="sequence_index", value=found[0]["sequence_index"])
    assert by_number["hash"] == found[0]["hash"]

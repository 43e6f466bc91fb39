"""Seeded instructions and transactions, and what driftpy and solders make of them.

The wanted bytes lie in tests/data/drift/driftpy_bytes.json.gz. In an environment with driftpy (never the product's
own), `python tests/venues/drift/driftpy_words.py` records them anew.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twinleg.venues.drift.chain import ed25519, message
from twinleg.venues.drift.chain import instructions as ix
from twinleg.venues.drift.chain.instructions import Dialect, Instruction, Meta, ModifyParams, OrderParams

RECORDED = Path(__file__).parents[2] / "data" / "drift" / "driftpy_bytes.json.gz"
DIALECT = Dialect("i", b"")
Named = tuple[str, dict[str, Any], bytes]
"""(the IDL's name, its arguments in our words, our bytes)."""


def maybe(dice: random.Random, value: int) -> int | None:
    return value if dice.random() < 0.5 else None


def an_order(dice: random.Random) -> OrderParams:
    amount = lambda: dice.choice((0, 1, dice.getrandbits(20), dice.getrandbits(40), dice.getrandbits(64)))  # noqa: E731
    signed = lambda: dice.getrandbits(63) * dice.choice((-1, 1))  # noqa: E731
    return OrderParams(
        order_type=dice.randrange(5),
        market_type=dice.randrange(2),
        direction=dice.randrange(2),
        user_order_id=dice.randrange(256),
        base_asset_amount=amount(),
        price=amount(),
        market_index=dice.getrandbits(16),
        reduce_only=dice.random() < 0.5,
        post_only=dice.randrange(4),
        bit_flags=dice.randrange(4),
        max_ts=maybe(dice, dice.getrandbits(40)),
        trigger_price=maybe(dice, amount()),
        trigger_condition=dice.randrange(2),
        oracle_price_offset=maybe(dice, dice.randrange(-(2**31), 2**31)),
        auction_duration=maybe(dice, dice.randrange(256)),
        auction_start_price=maybe(dice, signed()),
        auction_end_price=maybe(dice, signed()),
    )


def a_change(dice: random.Random) -> ModifyParams:
    told = an_order(dice)
    values = (told.direction, told.base_asset_amount, told.price, told.reduce_only, told.post_only, told.bit_flags,
              told.max_ts, told.trigger_price, told.trigger_condition, told.oracle_price_offset,
              told.auction_duration, told.auction_start_price, told.auction_end_price, dice.randrange(4))  # fmt: skip
    return ModifyParams(*(None if value is None else maybe(dice, value) for value in values))


def some(seed: int, orders: int) -> Iterator[Named]:
    """`orders` placements, and a twentieth of that of each other kind."""
    dice = random.Random(seed)
    for number in range(orders):
        order = an_order(dice)
        yield "place_perp_order", {"params": order}, ix.place_perp(order, DIALECT)
        if number % 20 == 0:
            yield from others(dice)


def others(dice: random.Random) -> Iterator[Named]:
    order, change, change_id = an_order(dice), a_change(dice), dice.getrandbits(32)
    several = [an_order(dice) for _ in range(dice.randrange(4))]
    ids = [dice.getrandbits(32) for _ in range(dice.randrange(4))]
    kind, index, side = maybe(dice, dice.randrange(2)), maybe(dice, dice.getrandbits(16)), maybe(dice, 1)
    byte, amount, market, flag = dice.randrange(256), dice.getrandbits(64), dice.getrandbits(16), dice.random() < 0.5
    condition = maybe(dice, dice.getrandbits(32))
    yield "place_spot_order", {"params": order}, ix.place_spot(order, DIALECT)
    yield "place_orders", {"params": several}, ix.place_orders(several, DIALECT)
    take = {"params": order, "success_condition": condition}
    yield "place_and_take_perp_order", take, ix.place_and_take(order, DIALECT, condition)
    yield "cancel_order", {"order_id": change_id}, ix.cancel(change_id)
    yield "cancel_order_by_user_id", {"user_order_id": byte}, ix.cancel_by_user_id(byte)
    which = {"market_type": kind, "market_index": index, "direction": side}
    yield "cancel_orders", which, ix.cancel_orders(kind, index, side)
    yield "cancel_orders_by_ids", {"order_ids": ids}, ix.cancel_by_ids(ids)
    changed = {"order_id": change_id, "modify_order_params": change}
    yield "modify_order", changed, ix.modify(change_id, change, DIALECT)
    changed = {"user_order_id": byte, "modify_order_params": change}
    yield "modify_order_by_user_id", changed, ix.modify_by_user_id(byte, change, DIALECT)
    moved = {"market_index": market, "amount": amount, "reduce_only": flag}
    yield "deposit", moved, ix.deposit(market, amount, reduce_only=flag)
    yield "withdraw", moved, ix.withdraw(market, amount, reduce_only=flag)
    yield "settle_pnl", {"market_index": market}, ix.settle_pnl(market)
    yield "settle_funding_payment", {}, ix.settle_funding()


class Told:
    """One transaction's content: the payer's seed, instructions, blockhash and lookup tables."""

    def __init__(self, dice: random.Random) -> None:
        self.seed, self.blockhash = dice.randbytes(32), dice.randbytes(32)
        pool = [dice.randbytes(32) for _ in range(dice.choice((3, 8, 20)))]
        payer = ed25519.Key(self.seed).public
        self.instructions = [
            Instruction(
                dice.choice(pool),
                (Meta(payer, signer=True), *(Meta(key, writable=dice.random() < 0.5)
                 for key in dice.sample(pool, dice.randrange(len(pool))))),
                dice.randbytes(dice.choice((0, 9, 40, 130))),
            )
            for _ in range(dice.randrange(1, 4))
        ]  # fmt: skip
        self.tables = [
            (dice.randbytes(32), [*dice.sample(pool, len(pool) // 2), dice.randbytes(32)])
            for _ in range(dice.randrange(3))
        ]


def transactions(seed: int, count: int) -> list[Told]:
    dice = random.Random(seed)
    return [Told(dice) for _ in range(count)]


def recorded() -> dict[str, list[str]]:
    """`instructions` of some(1, 200) and `transactions` of transactions(1, 60), as hex."""
    told: dict[str, list[str]] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return told


def by_driftpy(name: str, told: dict[str, Any]) -> bytes:
    """What driftpy's coder makes of the same arguments."""
    return bytes(_coder().encode(name, {key: _theirs(value) for key, value in told.items()}))


def by_us(told: Told) -> bytes:
    """Our signed wire of the same content."""
    key = ed25519.Key(told.seed)
    tables = [message.LookupTable(own, {k: i for i, k in enumerate(found)}) for own, found in told.tables]
    text = message.compiled(key.public, told.instructions, told.blockhash, tables)
    return message.transaction(key.sign(text), text) if len(text) < 1_100 else b"\1" + key.sign(text) + text


def by_solders(told: Told) -> bytes:
    """The signed wire of the same content."""
    from solders import address_lookup_table_account as alt  # noqa: PLC0415
    from solders import hash as hashes  # noqa: PLC0415
    from solders import instruction as parts  # noqa: PLC0415
    from solders import keypair, pubkey, transaction  # noqa: PLC0415
    from solders import message as messages  # noqa: PLC0415

    key, payer = pubkey.Pubkey, keypair.Keypair.from_seed(told.seed)
    wanted = [
        parts.Instruction(key(one.program), one.data, [parts.AccountMeta(key(k), s, w) for k, s, w in one.accounts])
        for one in told.instructions
    ]
    tables = [alt.AddressLookupTableAccount(key(own), [key(k) for k in keys]) for own, keys in told.tables]
    made = messages.MessageV0.try_compile(payer.pubkey(), wanted, tables, hashes.Hash(told.blockhash))
    return bytes(transaction.VersionedTransaction(made, [payer]))


_CODERS: list[Any] = []


def _coder() -> Any:
    if not _CODERS:
        import driftpy  # noqa: PLC0415
        from anchorpy import Idl  # noqa: PLC0415
        from anchorpy.coder.coder import Coder  # noqa: PLC0415

        text = (Path(driftpy.__file__).parent / "idl" / "drift.json").read_text()
        _CODERS.append(Coder(Idl.from_json(text)).instruction)
    return _CODERS[0]


def _theirs(value: Any) -> Any:
    from driftpy import types  # noqa: PLC0415

    words: dict[str, list[Any]] = {
        "order_type": [types.OrderType.Market, types.OrderType.Limit, types.OrderType.TriggerMarket,
                       types.OrderType.TriggerLimit, types.OrderType.Oracle],
        "market_type": [types.MarketType.Spot, types.MarketType.Perp],
        "direction": [types.PositionDirection.Long, types.PositionDirection.Short],
        "post_only": [types.PostOnlyParams.NONE, types.PostOnlyParams.MustPostOnly,
                      types.PostOnlyParams.TryPostOnly, types.PostOnlyParams.Slide],
        "trigger_condition": [types.OrderTriggerCondition.Above, types.OrderTriggerCondition.Below],
    }  # fmt: skip
    if isinstance(value, OrderParams | ModifyParams):
        kind = types.OrderParams if isinstance(value, OrderParams) else types.ModifyOrderParams
        return kind(**{k: words[k][v]() if k in words and v is not None else v for k, v in value._asdict().items()})
    if isinstance(value, list):
        return [_theirs(one) for one in value]
    return value


def main() -> None:
    told = {
        "instructions": [by_driftpy(name, args).hex() for name, args, _ in named(some(1, 200))],
        "transactions": [by_solders(one).hex() for one in transactions(1, 60)],
    }
    RECORDED.write_bytes(gzip.compress(json.dumps(told).encode(), mtime=0))


def named(rows: Iterator[Named]) -> Iterator[Named]:
    """The rows, the enums among the plain arguments in driftpy's words."""
    for name, args, ours in rows:
        if name == "cancel_orders":
            from driftpy import types  # noqa: PLC0415

            kinds = [types.MarketType.Spot(), types.MarketType.Perp()]
            sides = [types.PositionDirection.Long(), types.PositionDirection.Short()]
            kind, side = args["market_type"], args["direction"]
            args = args | {"market_type": None if kind is None else kinds[kind]}  # noqa: PLW2901
            args["direction"] = None if side is None else sides[side]
        yield name, args, ours


if __name__ == "__main__":
    main()

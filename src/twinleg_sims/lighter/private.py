"""The private side's place: accounts, transactions and account channels. Not simulated yet; every call says so."""

from __future__ import annotations

from twinleg_sims.lighter import facts, wire
from twinleg_sims.protocol import HttpReply

_PATHS = """
account accountsByL1Address accountLimits accountMetadata apikeys accountActiveOrders accountInactiveOrders
accountOrders trades positionFunding liquidations pnl changeAccountTier tokens tokens/create tokens/revoke nextNonce
sendTx sendTxBatch tx accountTxs deposit/history withdraw/history transfer/history transferFeeInfo
"""
PATHS = frozenset(_PATHS.split())
CHANNELS = ("account_", "user_stats", "notification", "pool_data", "pool_info", "rfq")


def refusal(path: str) -> HttpReply:
    """The answer to a private request."""
    message = f"{path}: this simulator has no private side"
    return HttpReply(400, wire.error(facts.INVALID_PARAM, message))

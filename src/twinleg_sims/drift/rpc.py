"""The node's JSON-RPC over HTTP: single requests and batches."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as BadBase64Error
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from twinleg_sims.drift.keys import from_base58, key, to_base58
from twinleg_sims.drift.layout import Record
from twinleg_sims.drift.ledger import BLOCKHASH_SLOTS, FINALIZED_SLOTS, WAITING_MAX, Done, Held, Ledger, Result, Waiting
from twinleg_sims.drift.money import TOKEN_ACCOUNT
from twinleg_sims.drift.transaction import BadTransactionError, Transaction, decode

BATCH_MAX = 100
KEYS_MAX = 100
HISTORY_MAX = 1_000
INVALID_PARAMS, NO_METHOD, INVALID_REQUEST, PARSE = -32602, -32601, -32600, -32700
PREFLIGHT_FAILED, NODE_BEHIND = -32002, -32005
RENT_EPOCH = 2**64 - 1
_UNITS = 30_000
_VERSION = "2.3.6"

Json = Any


class RpcError(Exception):
    """A request refused, with the error's code, words and data."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass(slots=True)
class Conduct:
    """How the node misbehaves now; all off at first."""

    lag_slots: int = 0
    drop: Callable[[], bool] = lambda: False
    late_slots: Callable[[], int] = lambda: 0
    fails_with: Callable[[], int | None] = lambda: None
    no_blockhash: bool = False


class Rpc:
    """The methods over a ledger. `landing_slots`: how long a transaction takes into a block."""

    def __init__(self, ledger: Ledger, landing_slots: int = 1) -> None:
        self._ledger = ledger
        self._landing = landing_slots
        self.conduct = Conduct()
        self._seen: dict[bytes, None] = {}
        self._methods: dict[str, Callable[[list[Json]], Json]] = {
            "getAccountInfo": self._account_info,
            "getMultipleAccounts": self._many_accounts,
            "getProgramAccounts": self._program_accounts,
            "getLatestBlockhash": self._latest_blockhash,
            "isBlockhashValid": self._is_blockhash_valid,
            "sendTransaction": self._send,
            "simulateTransaction": self._simulate,
            "getSignatureStatuses": self._statuses,
            "getSignaturesForAddress": self._signatures_for,
            "getTransaction": self._transaction,
            "getSlot": self._slot,
            "getBlockHeight": self._slot,
            "getHealth": self._health,
            "getBalance": self._balance,
            "getTokenAccountBalance": self._token_balance,
            "getRecentPrioritizationFees": self._fees,
            "getMinimumBalanceForRentExemption": self._rent,
            "getVersion": self._version,
        }

    def answer(self, body: bytes) -> bytes:
        """The reply to a body: one request or a batch."""
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.encode(_error(None, RpcError(PARSE, "Parse error")))
        if isinstance(asked, list):
            if not asked or len(asked) > BATCH_MAX:
                return msgspec.json.encode(_error(None, RpcError(INVALID_REQUEST, "Invalid request")))
            return msgspec.json.encode([self._one(each) for each in asked])
        return msgspec.json.encode(self._one(asked))

    def context(self) -> dict[str, Json]:
        return {"apiVersion": _VERSION, "slot": self._ledger.clock.slot - self.conduct.lag_slots}

    def _one(self, asked: Json) -> Json:
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            return _error(None, RpcError(INVALID_REQUEST, "Invalid request"))
        try:
            return {"jsonrpc": "2.0", "result": self._result(asked), "id": asked.get("id")}
        except RpcError as error:
            return _error(asked.get("id"), error)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            return _error(asked.get("id"), RpcError(INVALID_PARAMS, f"Invalid params: {error}"))

    def _result(self, asked: dict[str, Json]) -> Json:
        """Raises RpcError, or what words of the wrong kind raise."""
        method = self._methods.get(asked["method"])
        if method is None:
            raise RpcError(NO_METHOD, "Method not found")
        params = asked.get("params") or []
        if not isinstance(params, list):
            raise RpcError(INVALID_PARAMS, "Invalid params: expected an array")
        return method(params)

    def _account_info(self, params: list[Json]) -> Json:
        held = self._ledger.at(key(params[0]), self.conduct.lag_slots)
        return {"context": self.context(), "value": shown(held)}

    def _many_accounts(self, params: list[Json]) -> Json:
        if len(params[0]) > KEYS_MAX:
            raise RpcError(INVALID_PARAMS, f"Too many inputs provided; max {KEYS_MAX}")
        found = [shown(self._ledger.at(key(each), self.conduct.lag_slots)) for each in params[0]]
        return {"context": self.context(), "value": found}

    def _program_accounts(self, params: list[Json]) -> Json:
        owner, config = key(params[0]), _config(params, 1)
        found = []
        for address, held in self._ledger.held.items():
            if held.owner == owner and matches(held.data, config.get("filters") or []):
                then = self._ledger.at(address, self.conduct.lag_slots)
                found.append({"pubkey": to_base58(address), "account": shown(then)})
        return {"context": self.context(), "value": found} if config.get("withContext") else found

    def _latest_blockhash(self, params: list[Json]) -> Json:
        commitment = _config(params, 0).get("commitment", "finalized")
        age = {"finalized": FINALIZED_SLOTS, "confirmed": 1}.get(commitment, 0) + self.conduct.lag_slots
        slot = self._ledger.clock.slot - age
        found = {"blockhash": to_base58(self._ledger.blockhash(slot)), "lastValidBlockHeight": slot + BLOCKHASH_SLOTS}
        return {"context": self.context(), "value": found}

    def _is_blockhash_valid(self, params: list[Json]) -> Json:
        age = self._ledger.hash_age(key(params[0]))
        return {"context": self.context(), "value": age is not None and not self.conduct.no_blockhash}

    def _slot(self, params: list[Json]) -> Json:
        age = {"finalized": FINALIZED_SLOTS, "confirmed": 1}.get(_config(params, 0).get("commitment", "finalized"), 0)
        return self._ledger.clock.slot - age - self.conduct.lag_slots

    def _health(self, params: list[Json]) -> Json:
        del params
        if self.conduct.lag_slots:
            behind = self.conduct.lag_slots
            raise RpcError(NODE_BEHIND, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
        return "ok"

    def _send(self, params: list[Json]) -> Json:
        config = _config(params, 1)
        raw, sent = _transaction(params[0], config.get("encoding", "base58"))
        if not sent.verified():
            raise RpcError(-32003, "Transaction signature verification failure")
        signature = sent.signatures[0]
        known = signature in self._seen or signature in self._ledger.done
        if not config.get("skipPreflight"):
            self._preflight(sent, known=known)
        if not known:
            self._take(raw, sent)
        return to_base58(signature)

    def _preflight(self, sent: Transaction, *, known: bool) -> None:
        """Try it before it is sent on. Raises RpcError."""
        if self.conduct.no_blockhash or self._ledger.hash_age(sent.blockhash) is None:
            result = Result("BlockhashNotFound", [])
        elif known and sent.signatures[0] in self._ledger.done:
            result = Result("AlreadyProcessed", [])
        else:
            result = self._ledger.simulate(sent)
        if result.error is not None:
            data = {**_simulated(result), "accounts": None}
            words = result.error if isinstance(result.error, str) else _instruction_words(result)
            raise RpcError(PREFLIGHT_FAILED, f"Transaction simulation failed: {words}", data)

    def _take(self, raw: bytes, sent: Transaction) -> None:
        self._seen[sent.signatures[0]] = None
        if len(self._seen) > 2 * WAITING_MAX:
            del self._seen[next(iter(self._seen))]
        if self.conduct.no_blockhash or self.conduct.drop() or len(self._ledger.waiting) >= WAITING_MAX:
            return
        due = self._ledger.clock.slot + self._landing + self.conduct.late_slots()
        self._ledger.waiting.append(Waiting(due, raw, sent, self.conduct.fails_with()))

    def _simulate(self, params: list[Json]) -> Json:
        config = _config(params, 1)
        _, sent = _transaction(params[0], config.get("encoding", "base58"))
        if config.get("sigVerify") and not sent.verified():
            return {"context": self.context(), "value": _simulated(Result("SignatureFailure", []))}
        fresh = config.get("replaceRecentBlockhash") or self._ledger.hash_age(sent.blockhash) is not None
        result = self._ledger.simulate(sent) if fresh else Result("BlockhashNotFound", [])
        return {"context": self.context(), "value": {**_simulated(result), "accounts": None}}

    def _statuses(self, params: list[Json]) -> Json:
        return {"context": self.context(), "value": [self._status(from_base58(each)) for each in params[0]]}

    def _status(self, signature: bytes) -> Json:
        done = self._ledger.done.get(signature)
        age = -1 if done is None else self._ledger.clock.slot - self.conduct.lag_slots - done.slot
        if done is None or age < 0:
            return None
        final = age >= FINALIZED_SLOTS
        error = done.result.error
        return {
            "confirmationStatus": "finalized" if final else "confirmed" if age else "processed",
            "confirmations": None if final else age,
            "err": error,
            "slot": done.slot,
            "status": {"Ok": None} if error is None else {"Err": error},
        }

    def _signatures_for(self, params: list[Json]) -> Json:
        address, config = key(params[0]), _config(params, 1)
        most = min(int(config.get("limit", HISTORY_MAX)), HISTORY_MAX)
        found: list[Json] = []
        for done in reversed(self._ledger.done.values()):
            name = to_base58(done.signature)
            if name == config.get("until"):
                break
            if name == config.get("before"):
                found = []
            elif address in done.mentioned and self._ledger.clock.slot - done.slot >= 1 + self.conduct.lag_slots:
                found.append(
                    {
                        "blockTime": done.ts,
                        "confirmationStatus": "confirmed",
                        "err": done.result.error,
                        "memo": None,
                        "signature": name,
                        "slot": done.slot,
                    }
                )
        return found[:most]

    def _transaction(self, params: list[Json]) -> Json:
        done = self._ledger.done.get(from_base58(params[0]))
        if done is None or not done.raw:
            return None
        return {
            "blockTime": done.ts,
            "meta": _meta(done),
            "slot": done.slot,
            "transaction": [b64encode(done.raw).decode(), "base64"],
            "version": 0 if decode(done.raw).version == 0 else "legacy",
        }

    def _balance(self, params: list[Json]) -> Json:
        held = self._ledger.at(key(params[0]))
        return {"context": self.context(), "value": held.lamports if held else 0}

    def _token_balance(self, params: list[Json]) -> Json:
        held = self._ledger.at(key(params[0]))
        if held is None or len(held.data) != TOKEN_ACCOUNT.size:
            raise RpcError(INVALID_PARAMS, "Invalid param: could not find account")
        amount = Record(TOKEN_ACCOUNT, held.data)["amount"]
        value = {"amount": str(amount), "decimals": 6, "uiAmount": amount / 1e6, "uiAmountString": f"{amount / 1e6:g}"}
        return {"context": self.context(), "value": value}

    def _fees(self, params: list[Json]) -> Json:
        del params
        return [{"prioritizationFee": 1_000, "slot": self._ledger.clock.slot - age} for age in range(20)]

    def _rent(self, params: list[Json]) -> Json:
        return 890_880 + 6_960 * int(params[0])

    def _version(self, params: list[Json]) -> Json:
        del params
        return {"feature-set": 1, "solana-core": _VERSION}


def shown(held: Held | None) -> Json:
    """An account as the RPC writes it."""
    if held is None:
        return None
    return {
        "data": [b64encode(held.data).decode(), "base64"],
        "executable": False,
        "lamports": held.lamports,
        "owner": to_base58(held.owner),
        "rentEpoch": RENT_EPOCH,
        "space": len(held.data),
    }


def matches(data: bytearray, filters: list[Json]) -> bool:
    """Whether an account passes memcmp and dataSize filters. Raises ValueError."""
    for each in filters:
        if "dataSize" in each:
            if len(data) != each["dataSize"]:
                return False
            continue
        wanted = each["memcmp"]
        raw = b64decode(wanted["bytes"]) if wanted.get("encoding") == "base64" else from_base58(wanted["bytes"])
        if data[wanted["offset"] : wanted["offset"] + len(raw)] != raw:
            return False
    return True


def _meta(done: Done) -> Json:
    error = done.result.error
    return {
        "computeUnitsConsumed": _UNITS,
        "err": error,
        "fee": 5000,
        "innerInstructions": [],
        "loadedAddresses": {"readonly": [], "writable": []},
        "logMessages": done.result.logs,
        "postBalances": [],
        "postTokenBalances": [],
        "preBalances": [],
        "preTokenBalances": [],
        "rewards": [],
        "status": {"Ok": None} if error is None else {"Err": error},
    }


def _transaction(text: str, encoding: str) -> tuple[bytes, Transaction]:
    """Raises RpcError."""
    try:
        raw = b64decode(text, validate=True) if encoding == "base64" else from_base58(text)
        return raw, decode(raw)
    except (BadBase64Error, BadTransactionError, ValueError) as error:
        raise RpcError(INVALID_PARAMS, f"invalid transaction: {error}") from error


def _simulated(result: Result) -> dict[str, Json]:
    return {
        "err": result.error,
        "innerInstructions": None,
        "logs": result.logs,
        "replacementBlockhash": None,
        "returnData": None,
        "unitsConsumed": _UNITS if result.logs else 0,
    }


def _instruction_words(result: Result) -> str:
    failed = next((line for line in reversed(result.logs) if "failed: " in line), "")
    number = result.error["InstructionError"][0] if isinstance(result.error, dict) else 0  # type: ignore[index]
    return f"Error processing Instruction {number}: {failed.partition('failed: ')[2] or 'failed'}"


def _config(params: list[Json], position: int) -> dict[str, Json]:
    found = params[position] if position < len(params) else None
    return found if isinstance(found, dict) else {}


def _error(name: Json, error: RpcError) -> Json:
    words: dict[str, Json] = {"code": error.code, "message": error.message}
    if error.data is not None:
        words["data"] = error.data
    return {"jsonrpc": "2.0", "error": words, "id": name}

"""The house rules as functions: source text in, violations out. test_house.py applies them to every file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

DOORS: dict[str, tuple[str, ...]] = {
    "time": ("twinleg/runtime/clock.py", "twinleg_sims/__main__.py"),
    "datetime.datetime.now": (),
    "datetime.datetime.utcnow": (),
    "datetime.datetime.today": (),
    "datetime.date.today": (),
    "random": ("twinleg/runtime/clock.py",),
    "secrets": (),
    "uuid": (),
    "os.environ": ("twinleg/runtime/settings_load.py", "twinleg/cli/*"),
    "os.getenv": (),
    "os.urandom": (),
    "socket": ("twinleg/runtime/net.py", "twinleg/runtime/websocket.py", "twinleg/cli/*", "twinleg_sims/server.py"),
    "aiohttp": ("twinleg/runtime/net.py", "twinleg_sims/*"),
    "picows": ("twinleg/runtime/net.py", "twinleg/runtime/websocket.py"),
    "sqlite3": ("twinleg/runtime/journal_file.py",),
    "threading": ("twinleg/runtime/journal.py", "twinleg/runtime/record.py"),
    "subprocess": ("twinleg/cli/*",),
    "open": (),
    "io.open": (),
    "os.open": (
        "twinleg/runtime/consent.py",
        "twinleg/runtime/journal_file.py",
        "twinleg/runtime/lease.py",
        "twinleg/cli/*",
        "twinleg/__main__.py",
    ),
    "print": ("twinleg/cli/*", "twinleg_sims/__main__.py"),
    "input": (),
    "eval": (),
    "exec": (),
    "asyncio.sleep": ("twinleg/runtime/clock.py", "twinleg/cli/*", "twinleg_sims/*"),
    "asyncio.run": ("twinleg/cli/*", "twinleg_sims/__main__.py"),
}
"""The ways to the world, and the only files that may use each. "random.Random" with a seed is no dice of its own."""

SEEDED = {"random.Random"}
FILE_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes"}
FILE_ROOMS = ("twinleg/runtime/consent.py", "twinleg/runtime/settings_sources.py", "twinleg/cli/*")
TASK_MAKERS = {"create_task", "ensure_future"}
MUTATORS = {
    "add", "append", "clear", "commit", "discard", "execute", "extend", "insert", "pop", "popitem", "popleft", "put",
    "remove", "send", "setdefault", "update", "write",
}  # fmt: skip

PURE_IMPORTS = {
    "__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "msgspec", "numba", "numpy",
    "operator", "re", "statistics", "string", "struct", "types", "typing", "zlib",
}  # fmt: skip
"""All that core may import from outside. Venues may also read addresses (urllib.parse), and sign."""

SIGNERS = {"drift": set(), "extended": {"fast_stark_crypto"}, "lighter": {"lighter.signer_client"}}
"""Each venue's own signer, from its official SDK; Drift's is its own (venues.drift.chain.ed25519)."""

DISTRIBUTIONS = {"lighter": "lighter-sdk"}
"""What must be installed for a package that is not called as its distribution is."""


def sources(*tops: str) -> list[Path]:
    """Every Python file below src/<top>."""
    return sorted(path for top in tops for path in (SRC / top).rglob("*.py"))


def too_long(text: str) -> Iterator[str]:
    """Files over FILE_LINES_MAX lines, functions over FUNCTION_LINES_MAX."""
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{lines} lines (at most {FILE_LINES_MAX}): is there a second idea in it?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"line {node.lineno}: {node.name} has {length} lines (at most {FUNCTION_LINES_MAX})"


def forbidden_calls(text: str, name: str) -> Iterator[str]:
    """Uses of the world's doors in a file that is none of theirs. `name` is the path below src."""
    tree = ast.parse(text)
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            dotted = _dotted(node, names)
            door = _door(dotted)
            if door is not None and not _allowed(name, DOORS[door]):
                yield f"line {node.lineno}: {dotted} belongs to {' or '.join(DOORS[door]) or 'nobody'}"
        if isinstance(node, ast.Attribute) and node.attr in FILE_METHODS and not _allowed(name, FILE_ROOMS):
            yield f"line {node.lineno}: .{node.attr} belongs to {' or '.join(FILE_ROOMS)}"


def orphan_tasks(text: str) -> Iterator[str]:
    """Tasks whose reference is dropped: nobody could await or cancel them. A TaskGroup keeps its own."""
    tree = ast.parse(text)
    groups = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and "TaskGroup" in ast.unparse(item.context_expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            made = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
            if made in TASK_MAKERS and owner not in groups:
                yield f"line {node.lineno}: the task is not kept"


def swallowed_errors(text: str) -> Iterator[str]:
    """Bare excepts, broad ones that neither raise nor tell, and handlers that do nothing without saying why."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") and _broad(*node.args):
            yield f"line {node.lineno}: every error is suppressed"
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else "everything"
        silent = all(isinstance(each, ast.Pass | ast.Continue) or _is_ellipsis(each) for each in node.body)
        explained = any("#" in line for line in lines[node.lineno - 1 : node.body[-1].end_lineno])
        if node.type is None or (_broad(node.type) and not _told(node)):
            yield f"line {node.lineno}: {caught} is neither raised nor told"
        elif silent and not explained:
            yield f"line {node.lineno}: {caught} is swallowed without a word"


def busy_asserts(text: str) -> Iterator[str]:
    """Assertions that do something: an invariant is only looked at."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assert):
            for part in ast.walk(node.test):
                changes = isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom)
                calls = isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute)
                if changes or (calls and part.func.attr in MUTATORS):  # type: ignore[attr-defined]
                    yield f"line {node.lineno}: the assertion has a side effect"


def impure_imports(text: str, allowed: set[str]) -> Iterator[str]:
    """Imports that are not `allowed` (module names, with everything below them)."""
    for line, module in imports(text):
        if not any(module == name or module.startswith(f"{name}.") for name in allowed):
            yield f"line {line}: {module} may not be imported here"


def imports(text: str) -> Iterator[tuple[int, str]]:
    """Every import, anywhere in the file: (line, module). `from x import y` is x; x.y for our own packages."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] in {"twinleg", "twinleg_sims"}:
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def has_code(text: str) -> bool:
    """Whether there is anything to test: a function with a body, or a statement that computes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [each for each in node.body if not _is_docstring(each)]
            if not all(_is_ellipsis(each) for each in body):
                return True
    return False


def _broad(*types: ast.expr) -> bool:
    return any(re.search(r"\b(Exception|BaseException)\b", ast.unparse(each)) for each in types)


def _told(handler: ast.ExceptHandler) -> bool:
    parts = [part for each in handler.body for part in ast.walk(each)]
    named = any(isinstance(part, ast.Name) and part.id == handler.name for part in parts)
    logged = any(isinstance(part, ast.Attribute) and part.attr == "exception" for part in parts)
    return named or logged or any(isinstance(part, ast.Raise) for part in parts)


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it stands for, from every import in the file."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        builtin = node.id if node.id in {"open", "print", "input", "eval", "exec"} else ""
        return names.get(node.id, builtin)
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def _door(dotted: str) -> str | None:
    if not dotted or dotted in SEEDED or dotted in {"random", "socket", "time", "aiohttp", "picows", "sqlite3"}:
        return None  # a bare module name; what is taken from it is looked at by itself
    parts = dotted.split(".")
    return next((door for n in range(len(parts), 0, -1) if (door := ".".join(parts[:n])) in DOORS), None)


def _allowed(name: str, rooms: tuple[str, ...]) -> bool:
    return any(fnmatch(name, room) for room in rooms)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

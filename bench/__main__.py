"""Every number, side by side with what a user would run instead: make bench

Clients run on one core, the server that feeds them on another. Medians of interleaved runs; `--quick` runs each once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

from bench.frames import LighterWriter, updates

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
CLIENT_CORE, SERVER_CORE = (0, 1) if (os.cpu_count() or 1) > 1 else (0, 0)
MARKETS = 40
LATENCY_RATE = 2_000.0


def python(*arguments: str, executable: str = sys.executable, text: str = "") -> dict[str, Any]:
    """Run a module to its end, return the JSON of its last line."""
    done = subprocess.run(
        [executable, "-m", *arguments],
        env=ENVIRONMENT,
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{arguments[0]} failed:\n{done.stderr[-4_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


class Served:
    """A server process with prepared frames; `port` once it listens."""

    def __init__(self, venue: str, frames: int, rate: float = 0.0, stamps: str = "", markets: int = MARKETS) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.server", venue, "--markets", str(markets), "--frames", str(frames),
             "--rate", str(rate), "--stamps", stamps, "--core", str(SERVER_CORE)],
            env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.venue, self.frames, self.markets = venue, frames, markets
        self.port = 0

    def listening(self) -> Served:
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate()


def ours(servers: list[tuple[str, Served]], *arguments: str) -> dict[str, Any]:
    for _, server in servers:
        server.listening()
    asked = [f"--venue={name}:{server.port}:{server.markets}:{server.frames}" for name, server in servers]
    try:
        return python("bench.ours", *asked, f"--core={CLIENT_CORE}", *arguments)
    finally:
        for _, server in servers:
            server.end()


def sdk(name: str, server: Served, *arguments: str) -> dict[str, Any]:
    server.listening()
    try:
        where = [name, str(server.port), str(server.markets), str(server.frames)]
        return python("bench.sdk", *where, f"--core={CLIENT_CORE}", *arguments)
    finally:
        server.end()


def three(frames: int) -> list[tuple[str, Served]]:
    return [
        ("lighter", Served("lighter", frames)),
        ("extended", Served("extended", frames)),
        ("robinhood", Served("lighter", frames)),
    ]


def throughput(runs: int) -> None:
    mine, lighter, x10 = [], [], []
    for _ in range(runs):
        mine.append(ours(three(40_000))["cpu_us_per_frame"])
        lighter.append(sdk("lighter", Served("lighter", 6_000))["cpu_us_per_frame"])
        x10.append(sdk("extended", Served("extended_v1", 20_000))["cpu_us_per_frame"])
    print("\nSocket to judged pair, one core: us of CPU per frame (frames per second)")
    figures = {
        "ours: 3 venues, 120 markets, exact, checked, all pairs": mine,
        "lighter-sdk WsClient, 40 markets": lighter,
        "x10 StreamClient + OrderBook, 40 markets": x10,
    }
    for name, values in figures.items():
        print(f"  {name:58} {statistics.median(values):8.2f}  ({1e6 / statistics.median(values):9,.0f}/s)")
    for name, values in list(figures.items())[1:]:
        print(f"  ratio to {name:49} {statistics.median(values) / statistics.median(mine):8.1f}x")


def delays(sent: Path, judged: Path) -> list[float]:
    """us from leaving the server to having been judged, frame by frame, warm-up left out."""
    times = []
    for path in (sent, judged):
        stamps = array("q")
        stamps.frombytes(path.read_bytes())
        times.append(stamps)
    return [(b - a) / 1_000 for a, b in zip(*times, strict=False)][200:]


def latency(runs: int) -> None:
    mine: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        sent, judged = Path(folder, "sent"), Path(folder, "judged")
        for _ in range(runs):
            server = Served("lighter", 16_000, LATENCY_RATE, str(sent), markets=120)
            ours([("lighter", server)], f"--stamps={judged}")
            mine.append(_percentiles(delays(sent, judged)))
            server = Served("lighter", 8_000, LATENCY_RATE, str(sent), markets=120)
            sdk("lighter", server, f"--stamps={judged}")
            theirs.append(_percentiles(delays(sent, judged)))
    print("\nSend to decision at 2,000 msg/s, 120 books: us")
    for name, values in (("ours", mine), ("lighter-sdk WsClient", theirs)):
        p50, p99 = (statistics.median(one) for one in zip(*values, strict=True))
        print(f"  {name:58} p50 {p50:8.0f}   p99 {p99:8.0f}")
    ratio = statistics.median(a[0] / b[0] for a, b in zip(mine, theirs, strict=True))
    print(f"  our p50 is {ratio:.2f} of the SDK client's")


def _percentiles(values: list[float]) -> tuple[float, float]:
    values = sorted(values)
    return values[len(values) // 2], values[len(values) * 99 // 100]


def steady(seconds: int = 20) -> dict[str, Any]:
    servers = [(name, Served(name, 4_000 * seconds, 4_000.0, markets=200)) for name in ("lighter", "extended")]
    found = ours(servers, f"--timeout={seconds * 2 + 60}")
    print(f"\n200 markets on each of two venues, 20 updates/s each (8,000 msg/s), {seconds} s")
    print(f"  {'core used':58} {found['cpu_us_per_frame'] * 8_000 / 1e6:8.2f}")
    print(f"  {'memory (MB), highest':58} {found['rss_mb']:8.0f}")
    return found


def books() -> None:
    print("\nDecode and book, the same frames: ns per message")
    figures = python("bench.books")
    if PEERS.exists():
        writer = LighterWriter(1, 7)
        lines = "\n".join(frame.hex() for frame in (writer.snapshot(0), *updates(writer, 1, 20_000, 7)))
        figures |= python("bench.books", "nautilus", executable=str(PEERS), text=lines)
    else:
        print("  NautilusTrader: skipped, not installed (make bench-peers installs it in an environment of its own)")
    for name, value in figures.items():
        print(f"  {name:58} {value:8,.0f}")


def journal(*, quick: bool) -> None:
    print("\nThe journal")
    for name, value in python("bench.journal", *(["--quick"] if quick else [])).items():
        print(f"  {name:72} {value:11,.2f}")


def entry(*, quick: bool) -> None:
    """The gate alone, then the whole way with and without traffic in the background."""
    fewer = ["--orders", "60" if quick else "200"]
    pinned = [*fewer, "--core", str(CLIENT_CORE)]
    print("\nAn order, from the gate to the venue")
    _lines(python("bench.entry", *pinned))
    for rate in (0, int(LATENCY_RATE)):
        print(f"\nAn entry, from the tick to both legs' bytes, {rate:,} msg/s in the background")
        _lines(python("bench.legs", *pinned, "--other-core", str(SERVER_CORE), "--rate", str(rate)))


def _lines(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        print(f"  {name:72} {value:11,.1f}")


def startup() -> None:
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "twinleg", "--help"], env=ENVIRONMENT, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    print(f"\ntwinleg --help: {statistics.median(times):.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--quick", action="store_true", help="one run of each")
    parser.add_argument(
        "--only", choices=["throughput", "latency", "steady", "books", "scan", "journal", "entry", "startup"]
    )
    options = parser.parse_args()
    runs = 1 if options.quick else 3
    parts = {
        "throughput": lambda: throughput(runs),
        "latency": lambda: latency(runs),
        "steady": lambda: steady() and None,
        "books": books,
        "scan": lambda: print("\nJudging", *(f"\n  {k:72} {v:8.2f}" for k, v in python("bench.scan").items())),
        "journal": lambda: journal(quick=options.quick),
        "entry": lambda: entry(quick=options.quick),
        "startup": startup,
    }
    for name, part in parts.items():
        if options.only in (None, name):
            part()


if __name__ == "__main__":
    main()

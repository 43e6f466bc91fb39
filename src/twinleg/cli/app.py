"""Commands and their options. Nothing heavy is imported here: a command imports its work when it is called.

`twinleg --help` must stay quick, so this file may import typer and the exit codes only (a test holds it to that).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinleg.cli.app_books import books
from twinleg.cli.app_operator import operating
from twinleg.cli.exits import EPILOG

app = typer.Typer(
    help="Two legs, one trade: perpetual futures arbitrage between Lighter and Extended. Trades on paper by default.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text; one object per line if there are several.")]
Wait = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the venues' answers, at most.")]
Asset = Annotated[str | None, typer.Option(help="This asset only.")]
Seconds = Annotated[
    float | None, typer.Option(min=0.1, help="End after this many seconds.", show_default="until Ctrl-C")
]


@app.command(epilog=EPILOG)
def demo(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    seed: Annotated[int, typer.Option(help="The simulated world's seed: the same seed, the same world.")] = 7,
    assets: Annotated[int, typer.Option(min=1, help="Assets that the simulated venues list.")] = 40,
    speed: Annotated[float, typer.Option(min=1, max=60, help="Simulated seconds per second.")] = 4.0,
    seconds: Seconds = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="A fault of the simulated venues, e.g. lighter:disconnect:at_s=20; may be repeated."),
    ] = None,
    faults: Annotated[
        bool, typer.Option("--faults", help="Let things go wrong at the venues, and watch the recovery.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep journal and logs in this folder.", show_default="a temporary folder")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch it work against simulated venues.

    They run on this machine; the engine trades accounts there as it would real ones, with a live view. Needs no keys,
    reads neither the environment nor .env. Without a terminal it prints one line per change.
    """
    from twinleg.cli.demo import DemoOptions, run_demo

    options = DemoOptions(seed, assets, speed, seconds, tuple(fault or ()), faults, data_dir, as_json)
    raise typer.Exit(run_demo(options))


@app.command(epilog=EPILOG)
def run(seconds: Seconds = None, as_json: Json = False) -> None:
    """Run the engine on the configured venues.

    Shows a live view, or one line per change without a terminal. TRADING_MODE=dry_run (the default) needs no keys;
    live needs consent (twinleg live) and, in this version, venues on this machine.
    """
    from twinleg.cli.run import run_engine

    raise typer.Exit(run_engine(seconds, as_json=as_json))


@app.command(epilog=EPILOG)
def scan(
    once: Annotated[bool, typer.Option("--once", help="Answer once and exit; else again and again.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many pairs to show.")] = 10,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds to watch before the first answer; a basis is known after 30.")
    ] = 0.0,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between answers.")] = 5.0,
    wait: Wait = 20.0,
    as_json: Json = False,
) -> None:
    """Rank the pairs after every cost.

    From live books, with every term of the edge and every refusal. Never trades.
    """
    from twinleg.cli.scan import ScanOptions, run_scan

    raise typer.Exit(run_scan(ScanOptions(once, top, settle, every, wait, as_json)))


@app.command(epilog=EPILOG)
def book(
    market: Annotated[str, typer.Argument(help="venue:symbol as the venue writes it: lighter:ETH, extended:BTC-USD.")],
    depth: Annotated[int, typer.Option(min=1, help="Levels of each side.")] = 10,
    size_usd: Annotated[float | None, typer.Option(min=1, help="Also the average price of taking this much.")] = None,
    wait: Wait = 10.0,
    as_json: Json = False,
) -> None:
    """Show one order book.

    Both sides, spread, mid, age, and what taking a size would cost.
    """
    from twinleg.cli.book import BookOptions, run_book

    raise typer.Exit(run_book(BookOptions(market, depth, size_usd, wait, as_json)))


@app.command(epilog=EPILOG)
def markets(
    venue: Annotated[str | None, typer.Option(help="This venue only.")] = None,
    asset: Asset = None,
    wait: Wait = 10.0,
    as_json: Json = False,
) -> None:
    """List all markets with their facts.

    With the reason for each that is left out of trading.
    """
    from twinleg.cli.markets import run_markets

    raise typer.Exit(run_markets(venue, asset, wait, as_json=as_json))


@app.command(epilog=EPILOG)
def funding(asset: Asset = None, wait: Wait = 75.0, as_json: Json = False) -> None:
    """Compare the venues' funding per asset.

    Rates, next settlement, the check of their unit, and the half-life of their difference from history.
    """
    from twinleg.cli.funding import run_funding

    raise typer.Exit(run_funding(asset, wait, as_json=as_json))


@app.command(epilog=EPILOG)
def doctor(wait: Wait = 75.0, as_json: Json = False) -> None:
    """Find what is wrong and say what to do.

    Checks settings, clocks, reachability, feeds, funding units, folders and disk. The exit code is that of the worst
    finding.
    """
    from twinleg.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(wait, as_json=as_json))


app.add_typer(books)
app.add_typer(operating)


@app.command(name="replay-journal", epilog=EPILOG)
def replay_journal(
    path: Annotated[Path, typer.Argument(help="A journal, or the data folder that holds it. It is only read.")],
    last: Annotated[int, typer.Option(min=1, help="Show this many of the last trades; totals are of all.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the trades of a journal.

    Folds it again into trades and totals, with where each profit came from. The journal is only read.
    """
    from twinleg.cli.replay import run_replay

    raise typer.Exit(run_replay(path, last, as_json=as_json))


@app.command(epilog=EPILOG)
def selftest(
    seeds: Annotated[int, typer.Option(min=1, help="How many trials.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The first one's seed; the same seed, the same trial.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to run them in.")] = 1,
    story: Annotated[bool, typer.Option("--story", help="Tell what happened in every trial.")] = False,
    as_json: Json = False,
) -> None:
    """Let everything go wrong, in simulation.

    The live path against simulated venues in virtual time, with lost answers, broken streams, crashes and more, and
    every rule checked at every step. A seed that breaks a rule tells its story and replays exactly. Reads no settings.
    """
    from twinleg.cli.selftest import run_selftest

    raise typer.Exit(run_selftest(seeds, seed, jobs, story=story, as_json=as_json))


@app.command(epilog=EPILOG)
def version(as_json: Json = False) -> None:
    """Show the versions of twinleg and Python."""
    from twinleg.cli.versions import run_version

    raise typer.Exit(run_version(as_json=as_json))

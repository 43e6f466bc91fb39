"""Commands that steer a running engine, and the one that closes everything without it. As quick as app.py."""

from __future__ import annotations

from typing import Annotated

import typer

from twinleg.cli.exits import EPILOG

operating = typer.Typer()
one_trade = typer.Typer(
    help="Put one trade right.", epilog=EPILOG, no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text; one object per line if there are several.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the record.", show_default=False)]
WhyNeeded = Annotated[str, typer.Option(help="Why, for the record.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@operating.command(epilog=EPILOG)
def status(as_json: Json = False) -> None:
    """Show what the running engine may do.

    With its trades, its venues, what the comparison with the venues found, and everything that keeps it from opening
    trades, each with its number.
    """
    from twinleg.cli.operating import run_status

    raise typer.Exit(run_status(as_json=as_json))


@operating.command(epilog=EPILOG)
def pause(reason: Reason = None, as_json: Json = False) -> None:
    """Open no more trades.

    What is under way goes on. It lasts over restarts, until `twinleg resume`.
    """
    from twinleg.cli.operating import run_control
    from twinleg.core.operations import Pause

    raise typer.Exit(run_control(Pause(reason=reason or ""), as_json=as_json))


@operating.command(epilog=EPILOG)
def stop(reason: Reason = None, as_json: Json = False) -> None:
    """Open no more trades, cancel entries.

    What rests of entries is cancelled, what filled of them is hedged or unwound, what is held is held. It lasts over
    restarts, until `twinleg resume`. The engine itself is ended with Ctrl-C or SIGTERM.
    """
    from twinleg.cli.operating import run_control
    from twinleg.core.operations import Stop

    raise typer.Exit(run_control(Stop(reason=reason or ""), as_json=as_json))


@operating.command(epilog=EPILOG)
def resume(
    reason: WhyNeeded,
    trade: Annotated[
        list[str] | None, typer.Option(help="Let this halted trade go on, too; may be repeated.", show_default=False)
    ] = None,
    all_halted: Annotated[bool, typer.Option("--all-halted", help="Let every halted trade go on.")] = False,
    as_json: Json = False,
) -> None:
    """Lift a pause or a stop.

    Halted trades stay halted unless they are named, and while one is, nothing is opened.
    """
    from twinleg.cli.operating import run_control
    from twinleg.core.operations import Resume

    asked = Resume(reason=reason, trades=tuple(trade or ()), all_halted=all_halted)
    raise typer.Exit(run_control(asked, as_json=as_json))


@operating.command(name="open", epilog=EPILOG)
def open_trade(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    asset: Annotated[str, typer.Argument(help="The asset.")],
    long: Annotated[str, typer.Option(help="Venue of the long leg, or its market as venue:symbol.")],
    short: Annotated[str, typer.Option(help="Venue of the short leg, or its market.")],
    usd: Annotated[float, typer.Option(min=0.01, help="Size of each leg; limits may make it smaller.")],
    preview: Annotated[bool, typer.Option("--preview", help="Only show what it would do.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Open one trade by hand.

    All limits and all checks of data hold; what it earns is shown, and not asked.
    """
    from twinleg.cli.operating import run_open
    from twinleg.core.operations import OpenTrade

    asked = OpenTrade(asset=asset, long=long, short=short, usd=usd, preview=preview)
    raise typer.Exit(run_open(asked, yes=yes, as_json=as_json))


@operating.command(name="close", epilog=EPILOG)
def close_trade(
    what: Annotated[str, typer.Argument(help="A trade's id, or an asset.")],
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Close a trade, or all of an asset.

    Returns when its exit has begun; `twinleg status` shows its end.
    """
    from twinleg.cli.operating import run_trades
    from twinleg.core.operations import CloseTrade

    raise typer.Exit(run_trades(CloseTrade(what=what, reason=reason or ""), as_json=as_json))


@operating.command(epilog=EPILOG)
def flatten(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    asset: Annotated[str | None, typer.Option(help="This asset only.", show_default=False)] = None,
    trade: Annotated[str | None, typer.Option(help="This trade only.", show_default=False)] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also positions and orders that no trade of ours explains.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    yes: Yes = False,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for the end, at most.")] = 120.0,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Close everything that is held.

    With reduce-only orders whose bound widens step by step, never beyond TWINLEG_FLATTEN_SLIPPAGE_BPS_MAX. A running
    engine does it, and opens nothing afterwards. Without one it is done from here, by what the venues say alone.
    """
    from twinleg.cli.flatten import FlattenOptions, run_flatten

    options = FlattenOptions(asset, trade, everything, dry_run, yes, wait, reason or "", as_json)
    raise typer.Exit(run_flatten(options))


@operating.command(epilog=EPILOG)
def adopt(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    asset: Annotated[str, typer.Argument(help="The asset.")],
    long: Annotated[str, typer.Option(help="Market of the long position, as venue:symbol.")],
    short: Annotated[str, typer.Option(help="Market of the short position.")],
    size: Annotated[str, typer.Option(help="Size of each, in single units of the asset.")],
    long_price: Annotated[str, typer.Option(help="What was paid, as the venue lists it.")],
    short_price: Annotated[str, typer.Option(help="What it was sold for.")],
    reason: WhyNeeded,
    as_json: Json = False,
) -> None:
    """Make a trade of two positions of yours.

    Live, the venues must show them and no other trade may explain them.
    """
    from twinleg.cli.operating import run_trades
    from twinleg.core.operations import AdoptPositions

    asked = AdoptPositions(
        asset=asset,
        long_market=long,
        short_market=short,
        size=size,
        long_price=long_price,
        short_price=short_price,
        reason=reason,
    )
    raise typer.Exit(run_trades(asked, as_json=as_json))


@one_trade.command(epilog=EPILOG)
def resolve(  # noqa: PLR0913, PLR0917  # a command's options are its parameters
    trade: Annotated[str, typer.Argument(help="The halted trade's id.")],
    long_lots: Annotated[int, typer.Option(min=0, help="What its long leg holds, in lots.")],
    short_lots: Annotated[int, typer.Option(min=0, help="What its short leg holds, in lots.")],
    reason: WhyNeeded,
    long_price: Annotated[
        str | None, typer.Option(help="Price of the difference to our books, if any.", show_default=False)
    ] = None,
    short_price: Annotated[str | None, typer.Option(help="The same for the short leg.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Say what a halted trade holds.

    After looking at both venues, with none of its orders open. Flat is closed, equal is held, unequal stays halted.
    """
    from twinleg.cli.operating import run_trades
    from twinleg.core.operations import ResolveTrade

    asked = ResolveTrade(
        trade=trade,
        long_lots=long_lots,
        short_lots=short_lots,
        long_price=long_price,
        short_price=short_price,
        reason=reason,
    )
    raise typer.Exit(run_trades(asked, as_json=as_json))


operating.add_typer(one_trade, name="trade")

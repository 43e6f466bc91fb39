"""Commands that show what is set, held and earned, and the one that lets live trading begin. As quick as app.py."""

from __future__ import annotations

from typing import Annotated

import typer

from twinleg.cli.exits import EPILOG

books = typer.Typer()
config = typer.Typer(
    help="Look at the settings.", epilog=EPILOG, no_args_is_help=True, rich_markup_mode=None, add_completion=False
)
books.add_typer(config, name="config")

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@config.command(name="show", epilog=EPILOG)
def config_show(as_json: Json = False) -> None:
    """Show all settings and their origins.

    Secrets are said to be set or not, never shown. Settings without an effect in this version are marked.
    """
    from twinleg.cli.config import run_config_show

    raise typer.Exit(run_config_show(as_json=as_json))


@books.command(epilog=EPILOG)
def live(
    accept: Annotated[
        bool, typer.Option("--accept", help="Agree to trade these accounts within these limits, once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what live trading means, or agree.

    With the accounts, the limits in effect, and whatever keeps TRADING_MODE=live from starting. Consent is kept in the
    data folder and is void when an account changes or a limit grows.
    """
    from twinleg.cli.consenting import run_live

    raise typer.Exit(run_live(accept=accept, as_json=as_json))


@books.command(epilog=EPILOG)
def positions(as_json: Json = False) -> None:
    """Show what our trades hold, and where.

    From the journal, which is only read. With a running engine also what it found the venues to show.
    """
    from twinleg.cli.positions import run_positions

    raise typer.Exit(run_positions(as_json=as_json))


@books.command(epilog=EPILOG)
def trades(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not finished.")] = False,
    closed_only: Annotated[bool, typer.Option("--closed", help="Only those that are finished.")] = False,
    last: Annotated[int, typer.Option(min=1, max=1000, help="This many of the last ones.")] = 20,
    as_json: Json = False,
) -> None:
    """List the trades of the journal.

    With where each profit came from. The journal is only read, also while an engine writes it.
    """
    from twinleg.cli.trades import run_trades

    raise typer.Exit(run_trades(last, open_only=open_only, closed_only=closed_only, as_json=as_json))


@books.command(epilog=EPILOG)
def explain(
    trade: Annotated[str, typer.Argument(help="A trade's id, such as T000012 (or just 12).")], as_json: Json = False
) -> None:
    """Tell the whole story of one trade.

    Why it was opened, every order with its answers and fills, funding, changes of state, and what each term of the
    edge became.
    """
    from twinleg.cli.explain import run_explain

    raise typer.Exit(run_explain(trade, as_json=as_json))


@books.command(epilog=EPILOG)
def pnl(
    by: Annotated[str, typer.Option(help="day (UTC), venue, trade or asset.")] = "day",
    since: Annotated[str | None, typer.Option(help="Only what was booked from this day on, as YYYY-MM-DD.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values instead of a table.")] = False,
    as_json: Json = False,
) -> None:
    """Show profit and loss, by what you like.

    Price, slippage, funding and fees add up to the net, and all rows to the journal's own sums, exactly.
    """
    from twinleg.cli.pnl import PnlOptions, run_pnl

    raise typer.Exit(run_pnl(PnlOptions(by, since, as_csv, as_json)))

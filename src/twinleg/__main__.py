"""The command line: `twinleg ...` or `python -m twinleg ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from twinleg.cli.app import app
from twinleg.cli.exits import OK, CommandError, ReaderGone


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments (by default the process's own) say, and exit with a code of cli.exits."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="twinleg")
    except CommandError as error:
        sys.stderr.write(f"twinleg: {error}\n")
        sys.exit(error.code)
    except ReaderGone:
        sys.exit(OK)


if __name__ == "__main__":
    main()

"""The command line: `twinleg ...` or `python -m twinleg ...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from twinleg.cli.app import app
from twinleg.cli.exits import OK, CommandError


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments (by default the process's own) say, and exit with a code of cli.exits."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="twinleg")
    except CommandError as error:
        sys.stderr.write(f"twinleg: {error}\n")
        sys.exit(error.code)
    except BrokenPipeError:
        # The reader of our output has gone: nothing more to say, and the interpreter must not try at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)


if __name__ == "__main__":
    main()

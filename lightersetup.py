"""`python lightersetup.py`: where users of other gateways register a Lighter key. Not available in this version."""

import sys

MESSAGE = """\
Setting up a Lighter API key is not available in this version of twinleg. Until it is:
  1. Create an API key in a slot from 4 to 254, in Lighter's own web app or with the system_setup example of its SDK.
  2. Write LIGHTER_PRIVATE_KEY, LIGHTER_ACCOUNT_INDEX and LIGHTER_API_KEY_INDEX into .env (see .env.example).
  3. Check them with: twinleg doctor
TRADING_MODE=dry_run, the default, needs no key at all.
"""

if __name__ == "__main__":
    sys.stderr.write(MESSAGE)
    sys.exit(2)

"""`twinleg` with its venues near: their lists lag by little, and Lighter's account is of a tier that may ask often.

What proves that an order never came then takes seconds instead of half a minute. All else is the product as it is.
"""

from __future__ import annotations

import sys

import msgspec

from twinleg.runtime import known
from twinleg.venues.lighter.venue import LighterVenue

LAG_MS = 1_500
REQUESTS_PER_MINUTE = 6_000

if __name__ == "__main__":
    known.LAG_MS = LAG_MS
    LighterVenue.limits = msgspec.structs.replace(LighterVenue.limits, requests_per_minute=REQUESTS_PER_MINUTE)
    from twinleg.__main__ import main

    sys.exit(main())

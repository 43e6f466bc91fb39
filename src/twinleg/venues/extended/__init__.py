"""Extended (extended.exchange), public market data."""

from twinleg.venues.extended.venue import ExtendedVenue

__all__ = ["ExtendedVenue"]

"""Lighter (zkLighter), public market data."""

from twinleg.venues.lighter.venue import LighterVenue

__all__ = ["LighterVenue"]

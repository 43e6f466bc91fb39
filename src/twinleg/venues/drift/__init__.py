"""Drift v2 and its relaunch, Velocity: programs on Solana, public market data."""

from twinleg.venues.drift.venue import DriftVenue

__all__ = ["DriftVenue"]

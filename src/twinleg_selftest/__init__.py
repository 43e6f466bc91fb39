"""The product in a seeded world: virtual time, simulated venues, network, disk, faults and crashes, one seed for all.

Beside twinleg and twinleg_sims, and the only package that knows both. `python -m twinleg_selftest --help`.
"""

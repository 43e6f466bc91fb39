"""Drift, and its successor Velocity, as a simulated venue: a Solana node with the program, keepers and a DLOB."""

"""Lighter's server side: its public REST and WebSocket protocol over the world. Nothing private yet."""

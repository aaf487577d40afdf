"""Sensors of the wolkvox provider."""

"""Operators of the wolkvox provider."""

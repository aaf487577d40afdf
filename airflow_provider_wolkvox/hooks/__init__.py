"""Hooks of the wolkvox provider."""

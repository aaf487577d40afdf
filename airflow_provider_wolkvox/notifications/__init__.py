"""Notifiers of the wolkvox provider."""

"""TaskFlow decorators of the wolkvox provider."""

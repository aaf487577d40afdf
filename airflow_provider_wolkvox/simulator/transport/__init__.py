"""Bytes in, bytes out: sockets, connections, HTTP, and what a fault makes of an answer."""

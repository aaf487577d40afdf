"""What one wolkvox operation knows and counts: no sockets and no HTTP here."""

"""What each API of wolkvox does and answers."""

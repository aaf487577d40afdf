"""The interface under `/_sim`, by which other processes read the simulator and set it."""

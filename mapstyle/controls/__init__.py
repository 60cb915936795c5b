"""Controls: layers drawn on world-anchored cells, as planes for engines and as control images."""

"""Art maps that still tell the truth: people's own geography, painted."""

__version__ = "0.1.0"

"""Compose: sheets in, one image out."""

"""Exports: images in, files out."""

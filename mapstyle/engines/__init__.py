"""Engines: a scene in, the ground out."""

"""Ink: thin vector work drawn back over the ground."""

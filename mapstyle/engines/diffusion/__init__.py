"""Diffusion: SDXL with ControlNets and LoRAs, on a lattice of windows that belongs to the world."""

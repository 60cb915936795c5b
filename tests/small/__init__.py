"""Small real SDXL models: the module names and shapes of the full-size ones, but a few megabytes."""

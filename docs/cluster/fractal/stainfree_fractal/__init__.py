"""Tasks for Fractal that run stainfree."""

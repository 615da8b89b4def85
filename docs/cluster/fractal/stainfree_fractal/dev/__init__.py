"""What makes the manifest; not part of the package that is installed."""

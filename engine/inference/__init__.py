"""The morning's decisions."""

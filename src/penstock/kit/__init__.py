"""Small parts that would be useful to a stranger. Nothing here knows Penstock."""

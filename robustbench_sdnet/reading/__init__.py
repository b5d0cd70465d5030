"""What comes from outside, read within bounds: numbers, paths and files, YAML and JSON, arrays. Needs no torch."""

"""The attacks that this package implements itself, one a file, written from their papers."""

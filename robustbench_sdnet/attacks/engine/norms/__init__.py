"""One norm a file: its geometry, as `BALL`, under the name that `specs.NORMS` gives it."""

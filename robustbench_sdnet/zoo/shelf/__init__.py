"""The shelf of trained models: index, fetch, publish."""

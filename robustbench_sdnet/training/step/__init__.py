"""What happens in a step and an epoch."""

"""The attack engine: active set, passes, balls, losses and results."""

"""Answer cells: models, devices, engines. Torch, never SQL."""

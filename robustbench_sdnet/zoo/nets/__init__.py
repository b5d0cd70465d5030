"""Networks: sparse coding layers, residual bodies, architectures."""

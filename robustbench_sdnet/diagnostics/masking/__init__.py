"""The diagnostics of gradient masking, with and without an attack; they need torch."""

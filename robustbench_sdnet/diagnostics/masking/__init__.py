"""The sixteen diagnostics of gradient masking, one family a file; they need torch."""

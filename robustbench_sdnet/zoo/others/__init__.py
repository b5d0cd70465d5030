"""Other people's models: where they come from, and guards around them."""

"""What a store says, typed: never torch."""

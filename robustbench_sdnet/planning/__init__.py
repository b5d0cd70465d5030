"""From what is asked to cells and tasks: never torch, never a disk."""

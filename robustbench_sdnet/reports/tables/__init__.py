"""Results to tables: pure functions, one family a module."""

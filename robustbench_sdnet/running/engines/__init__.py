"""Where tasks run: `local` is one process with one device."""

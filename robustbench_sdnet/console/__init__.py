"""What the commands share on the screen: options, progress, tables, findings."""

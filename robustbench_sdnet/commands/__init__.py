"""The commands, one file each, exactly the names in `cli.COMMANDS`: parse, call, print."""

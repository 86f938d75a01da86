"""The `robotseg` command: one thin module per sub-command."""

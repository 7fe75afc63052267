"""One module for each command, imported when its command is typed.

A module has `COMMAND`, what it takes (`boxship.cli.flags.Command`), and `main(call) -> int`, what it does.
"""

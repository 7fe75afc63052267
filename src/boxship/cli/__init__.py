"""The docker command line: a table of commands, flags, rendering."""

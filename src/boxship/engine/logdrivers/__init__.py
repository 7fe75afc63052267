"""Where a container's output is kept. A driver has write(stream, data) and close(); `json_file` is the only one so far."""

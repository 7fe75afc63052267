"""Bridge, addresses, ports, the sandbox of a container."""

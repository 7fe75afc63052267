"""Boxship: a Docker-compatible container engine in pure Python."""

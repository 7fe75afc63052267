"""The use cases, one module per noun. CLI and API are thin adapters over this."""

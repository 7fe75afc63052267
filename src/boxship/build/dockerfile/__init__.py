"""The Dockerfile language: text to instructions (parser), to commands (decode), to stages (stages). Pure: no I/O."""

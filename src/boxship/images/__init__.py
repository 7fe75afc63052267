"""Images in the store: pull, push, unpack, save, load, import."""

"""OCI distribution client: transport, auth, resolve, blobs, push."""

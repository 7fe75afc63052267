"""Pure values of the OCI and Docker formats: no I/O, no clock."""

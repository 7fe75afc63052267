"""Docker's wire documents, pure: what inspect, ps and the API print."""

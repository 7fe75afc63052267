"""The version of Boxship and of the Docker API level whose documents it speaks."""

__version__ = "0.1.0"
API_VERSION = "1.51"
MIN_API_VERSION = "1.24"

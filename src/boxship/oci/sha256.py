"""SHA-256 of small texts. On the hot path of build.

hashlib loads OpenSSL: 4 ms before the first byte, which only pays off for whole files. The interpreter's own C module gives
the same digests.
"""

__all__ = ["digest", "sha256"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # pragma: no cover - an interpreter that leaves it to OpenSSL
            from hashlib import sha256


def digest(data: bytes) -> str:
    """sha256:HEX"""
    return f"sha256:{sha256(data).hexdigest()}"

"""Messages between the server and its workers: two lengths of four bytes, a JSON object, bytes."""

import json
import struct
from typing import Any

LENGTHS = struct.Struct(">II")


def pack(head: dict[str, Any], content: bytes = b"") -> bytes:
    """A message."""
    encoded = json.dumps(head).encode()
    return LENGTHS.pack(len(encoded), len(content)) + encoded + content

"""What is sent to other servers and need not arrive: typing, presence, receipts.  Says only how it is handed over."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Edus(Protocol):
    """Takes EDUs for other servers."""

    def send(self, servers: Iterable[str], edu_type: str, content: Mapping[str, Any], key: str) -> None:
        """Send `content` to the servers soon; what is not sent yet under the same type and key is replaced by it."""

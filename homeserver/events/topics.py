"""The plain text of a topic, of whatever form its event has.  spec: client-server-api#mroomtopic"""

from collections.abc import Mapping
from typing import Any


def plain(content: Mapping[str, Any]) -> str | None:
    """The text under the old key, else the representation that is plain; None where there is neither."""
    if isinstance(content.get("topic"), str):
        return str(content["topic"])
    block = content.get("m.topic")
    forms = block.get("m.text") if isinstance(block, dict) else None
    for form in forms if isinstance(forms, list) else ():
        if isinstance(form, dict) and form.get("mimetype", "text/plain") == "text/plain" and isinstance(form.get("body"), str):
            return str(form["body"])
    return None

"""What content is called: content types and file names, read from strangers and written into headers.  Pure; trusts neither side."""

import re
from email.message import Message
from email.utils import collapse_rfc2231_value
from urllib.parse import quote

DEFAULT_TYPE = "application/octet-stream"
MAX_TYPE = 255
MAX_FILENAME = 255

# spec: client-server-api#serving-inline-content
# fmt: off
INLINE = frozenset({
    "text/css", "text/plain", "text/csv", "application/json", "application/ld+json", "image/jpeg", "image/gif", "image/png",
    "image/apng", "image/webp", "image/avif", "video/mp4", "video/webm", "video/ogg", "video/quicktime", "audio/mp4", "audio/webm",
    "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav", "audio/flac", "audio/x-flac",
})
# fmt: on

_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+/[A-Za-z0-9!#$%&'*+.^_`|~-]+ *(;[ -~]*)?")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def content_type(text: str | None) -> str:
    """A content type fit for a header: `text` if it is one, else `application/octet-stream`."""
    text = (text or "").strip()
    return text if len(text) <= MAX_TYPE and _TYPE.fullmatch(text) else DEFAULT_TYPE


def essence(content_type: str) -> str:
    """The type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def served_type(content_type: str) -> str:
    """The type as it is sent out: text says its charset, else a browser may guess one in which it is something else."""
    if essence(content_type).startswith("text/") and "charset" not in content_type.lower():
        return f"{content_type}; charset=UTF-8"
    return content_type


def filename(text: str | None) -> str | None:
    """A file name fit for keeping: no directories, no control or direction characters, bounded; None when nothing is left."""
    if not text:
        return None
    name = re.split(r"[/\\]", _UNSEEN.sub("", text))[-1].strip()
    name = name.encode()[:MAX_FILENAME].decode(errors="ignore")
    return None if name in ("", ".", "..") else name


def disposition(content_type: str, name: str | None) -> str:
    """The Content-Disposition header for content of this type and file name.

    spec: client-server-api#serving-inline-content.  The type alone decides, so it must be sent along with `nosniff`.
    """
    kind = "inline" if essence(content_type) in INLINE else "attachment"
    name = filename(name)
    if name is None:
        return kind
    if _TOKEN.fullmatch(name):
        return f"{kind}; filename={name}"
    if name.isascii():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'{kind}; filename="{escaped}"'
    return f"{kind}; filename*=utf-8''{quote(name, safe='')}"


def filename_of(disposition: str | None) -> str | None:
    """The file name that a Content-Disposition header of another server gives."""
    if not disposition or len(disposition) > 4 * MAX_FILENAME + 100:
        return None
    message = Message()
    try:
        message["content-disposition"] = _UNSEEN.sub("", disposition)
        found = message.get_param("filename", header="content-disposition")
        return None if found is None else filename(collapse_rfc2231_value(found))
    except (ValueError, LookupError, TypeError):
        return None

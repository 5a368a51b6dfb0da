"""The page and the headers of every answer. The page is one file, and loads nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

PAGE = (Path(__file__).parent / "photo_page.html").read_bytes()


def _hashes(element: bytes) -> str:
    """Hashes of the contents of an element, which allow it in the policy: any other script is not run."""
    contents = re.findall(rb"<%b>(.*?)</%b>" % (element, element), PAGE, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


SECURITY_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(b'script')}",
            f"style-src {_hashes(b'style')}",
            "img-src blob: data:",  # the photo, and the icon in the file
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer: nothing is loaded from other sites, framed or kept."""

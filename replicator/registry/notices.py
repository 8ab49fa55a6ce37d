"""What a registry's operator has to say to its users: `Warning` headers (OCI 1.1, "Warnings").

They are told once each, and nothing is ever done because of them.
"""

import logging
import re
from collections.abc import Mapping

from replicator.registry.failures import clean

log = logging.getLogger(__name__)

# The only code and agent that the spec allows, and its limit for all that one answer says.
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)+)"')
_HEADER_CHARACTERS = 4096
_NOTICES = 100


class Notices:
    """What one registry warned of so far. A registry that has more than a hundred things to say is not listened to."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._told: set[str] = set()

    def note(self, headers: Mapping[str, str]) -> None:
        """Log what these headers of an answer warn of, unless that was said before."""
        said = headers.get("warning")
        for quoted in _WARNING.findall(said[:_HEADER_CHARACTERS]) if said else ():
            text = clean(re.sub(r"\\(.)", r"\1", quoted))
            if text not in self._told and len(self._told) < _NOTICES:
                self._told.add(text)
                log.warning("a registry warns", extra={"registry": self._registry, "warning": text})

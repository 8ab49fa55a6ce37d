"""What never gets into a log line: credentials, wherever they stand."""

import re

# Every pattern is linear in its input: log lines may quote what a hostile peer sent.

HIDDEN = "***"

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Header lines and header mappings, whatever the scheme.
    (
        re.compile(
            r"""(?i)\b((?:proxy-)?authorization|x-jfrog-event-auth|cookie)\b(["']?\s{0,4}[:=]\s{0,4}["']?)"""
            r"""(?:(?:basic|bearer|digest|negotiate)\s+)?[^\s"',;]+"""
        ),
        rf"\1\2{HIDDEN}",
    ),
    # A credential quoted without its header. Words of prose ("basic authentication") have no digit, capital or `=`.
    (re.compile(r"\b((?i:basic|bearer))\s+(?=[a-z~+/_.-]*[0-9A-Z=])[\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # User info of a URL: everything up to the last @ of the authority.
    (re.compile(r"""://[^\s/?#"]*@"""), f"://{HIDDEN}@"),
    (re.compile(r"""(/webhooks/[^/\s?"'#]+/)[^\s?"'#]+"""), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"""(?i)([?&;\s](?:[a-z_-]{0,20}token|sig|signature|x-amz-[a-z-]{1,30}|x-goog-[a-z-]{1,30}|"""
            r"""(?:[a-z]{1,10}_)?secret|passw(?:or)?d|credential|code)=)[^&\s"'#]+"""
        ),
        rf"\1{HIDDEN}",
    ),
    # JSON answers of token servers.
    (
        re.compile(r"""(?i)(["'](?:[a-z]{1,10}_)?(?:token|secret|password)["']\s{0,4}:\s{0,4}["'])[^"']+"""),
        rf"\1{HIDDEN}",
    ),
)
# No pattern matches without one of these.
_SEPARATOR = re.compile(r"[:=/\s]")
_SECRET_NAMES = re.compile(r"(?i)authorization|password|passwd|secret|token\Z|cookie")


def redact(text: str) -> str:
    """`text` without credentials: Authorization values, user info and signatures in URLs, secrets in webhook paths."""
    if not _SEPARATOR.search(text):
        return text
    for pattern, replacement in _SECRETS:
        # Searching first is cheaper: `sub` parses its replacement each time, and hardly a line holds a secret.
        if pattern.search(text):
            text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether the value of a field of that name is a secret, whatever it looks like."""
    return _SECRET_NAMES.search(name) is not None

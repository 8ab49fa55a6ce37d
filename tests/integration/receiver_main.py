"""A receiver as a process of its own; its arguments are REDIS_URL RULES PORT BODY_TIMEOUT_S."""

import os
import sys
from pathlib import Path

from pydantic import SecretStr

from replicator.ledger import Ledger, Recorder, connect_async
from replicator.operate import Desk
from replicator.rulefiles import RuleBook
from replicator.telemetry import setup_logging
from replicator.web.app import create_app
from replicator.web.authentication import Tokens
from replicator.web.receiver import Bounds
from replicator.web.server import serve
from tests.fakes.web import no_client

TOKEN = "api-canary"


def main() -> None:
    redis_url, rules, port, timeout_s = sys.argv[1:]
    setup_logging("info", "json")
    book = RuleBook(Path(rules), os.environ)
    app = create_app(
        rules=book,
        desk=Desk(Ledger.connect(redis_url), lambda: book.current, no_client),
        record=Recorder(connect_async(redis_url)).record,
        tokens=Tokens(SecretStr(TOKEN)),
        bounds=Bounds(timeout_s=float(timeout_s)),
    )
    serve(app, "127.0.0.1", int(port), body_timeout_s=float(timeout_s))

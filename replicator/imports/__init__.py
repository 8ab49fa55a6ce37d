"""Other tools' files as rules of ours: what can be carried over exactly, and a remark where something cannot."""

from replicator.imports.draft import Draft
from replicator.imports.given import Given, parse, printable, read
from replicator.imports.harbor import Local, import_harbor
from replicator.imports.image_syncer import import_image_syncer
from replicator.imports.regsync import import_regsync
from replicator.imports.render import render
from replicator.imports.settle import settle
from replicator.imports.skopeo import Target, import_skopeo

__all__ = [
    "Draft",
    "Given",
    "Local",
    "Target",
    "import_harbor",
    "import_image_syncer",
    "import_regsync",
    "import_skopeo",
    "parse",
    "printable",
    "read",
    "render",
    "settle",
]

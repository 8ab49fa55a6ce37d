"""How we speak to a container registry: the OCI distribution protocol over HTTP, its logins and its failures.

Its connections are its own; httpx resolves URLs, and its transports may stand in for connections. No other package
knows httpx. What goes in and out are values of `oci` and errors of `errors`; it decides nothing
about replication.
"""

from replicator.registry.client import RegistryClient, connect
from replicator.registry.manifests import ManifestHead
from replicator.registry.uploads import Upload

__all__ = ["ManifestHead", "RegistryClient", "Upload", "connect"]

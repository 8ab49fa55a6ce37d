"""A certificate for registries on loopback, of a CA that nobody else knows."""

from pathlib import Path

import trustme


def certificate(directory: Path) -> tuple[tuple[Path, Path], Path]:
    """The files of a P-256 certificate and its key, and the file of the CA to trust."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = authority.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.ECDSA)
    paths = directory / "certificate.pem", directory / "key.pem"
    issued.cert_chain_pems[0].write_to_path(paths[0])
    issued.private_key_pem.write_to_path(paths[1])
    authority.cert_pem.write_to_path(directory / "ca.pem")
    return paths, directory / "ca.pem"

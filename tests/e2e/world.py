"""The world that the product lives in: registries in several regions that notify one `replicator up`.

The registries are Debian's docker-registry, which posts its own notifications; all that arrives is judged by reading
it back at the destination, every digest checked.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import yaml

from replicator.oci import Digest
from tests.e2e.product import Replicator
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import PASSWORD, USER, DockerRegistry, Notify, free_port, wait_until

SECRET = "what the registries know"
PATH_SECRET = "known-to-ap-alone"
REGIONS = ("eu", "us", "ap")


class World:
    """Registries and a replicator, started in that order and killed in the other. `ap` proves itself by its path."""

    def __init__(
        self,
        directory: Path,
        rules: str,
        *,
        regions: Sequence[str] = REGIONS,
        guarded: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`rules` is the rule file, without the registries. `guarded` registries want a password, which the product
        reads from the file `secret` in the directory of the rules. `environment` are settings of the product.
        """
        port = free_port()
        self.registries = {
            name: DockerRegistry(directory / name, notify=_notify(port, name), htpasswd=name in guarded)
            for name in regions
        }
        self.replicator = Replicator(directory / "replicator", port=port, environment=environment)
        self.secret = self.replicator.rules / "secret"
        self.secret.write_text(PASSWORD)
        text = registries_yaml(self.registries, dict.fromkeys(guarded, self.secret))
        self.replicator.write_rules("registries.yaml", text)
        self.replicator.write_rules("rules.yaml", rules)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.callback(self.replicator.close)
            for registry in self.registries.values():
                starting.enter_context(registry)
            self.replicator.start()
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def url(self, region: str) -> str:
        """The registry's URL."""
        return self.registries[region].url

    def push(self, region: str, repository: str, tag: str | None, image: Image) -> Image:
        """Push by raw HTTP; the image."""
        images.push(self.url(region), repository, tag, image)
        return image

    def head(self, region: str, repository: str, reference: str) -> Digest | None:
        """The digest of a reference, None if it is absent."""
        return images.head(self.url(region), repository, reference)

    def delete(self, region: str, repository: str, image: Image) -> None:
        """Delete an image by digest, which takes all of its tags: 2.8 knows no other way."""
        images.delete(self.url(region), repository, image.digest)

    def tags(self, region: str, repository: str) -> set[str]:
        """All tags of a repository."""
        return images.tags(self.url(region), repository)

    def await_copy(
        self, region: str, repository: str, reference: str, image: Image, within_s: float = 20.0
    ) -> float:
        """Wait until the very image is there, with every byte below it checked; the seconds that it took."""
        return wait_until(
            lambda: images.is_whole(self.url(region), repository, reference, image),
            within_s,
            what=f"{region}/{repository}:{reference} is {image.digest}",
            poll_s=0.05,
        )

    def await_absence(self, region: str, repository: str, reference: str, within_s: float = 20.0) -> float:
        """Wait until the reference is gone; the seconds that it took."""
        return wait_until(
            lambda: self.head(region, repository, reference) is None,
            within_s,
            what=f"{region}/{repository}:{reference} is gone",
            poll_s=0.05,
        )

    def puts(self, region: str, repository: str) -> list[str]:
        """The references under which manifests of a repository were written, by the registry's own access log."""
        log = self.registries[region].log.read_text()
        return re.findall(rf'"PUT /v2/{re.escape(repository)}/manifests/(\S+) HTTP/1.1" 201', log)


def registries_yaml(registries: dict[str, DockerRegistry], secrets: Mapping[str, Path] | None = None) -> str:
    """The rule file that names the registries; `secrets` are the files with the passwords of those that want one."""
    logins = {
        name: {"type": "basic", "access_key": USER, "access_secret_file": str(file)}
        for name, file in (secrets or {}).items()
    }
    return yaml.safe_dump(
        {
            "registries": {
                name: {
                    "type": "distribution",
                    "url": registry.url,
                    "webhook": {"secret": PATH_SECRET if name == "ap" else SECRET},
                    **({"credential": logins[name]} if name in logins else {}),
                }
                for name, registry in registries.items()
            }
        }
    )


def _notify(port: int, name: str) -> Notify:
    url = f"http://127.0.0.1:{port}/webhooks/{name}"
    if name == "ap":
        return [(f"{url}/{PATH_SECRET}", {})]
    return [(url, {"Authorization": f"Bearer {SECRET}"})]

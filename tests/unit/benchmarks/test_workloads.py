"""The images that copying is measured with."""

import gzip
import io
import tarfile
from itertools import islice

import pytest

from benchmarks.workloads import WORKLOADS, layer, repositories, wanted, warm_up
from replicator.oci import Digest


def test_a_layer_is_a_tar_that_gzip_compressed() -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer("a seed", 5000)))) as archive:
        assert [(member.name, member.size) for member in archive] == [("data", 5000)]


def test_a_layer_depends_on_its_seed_and_size_alone() -> None:
    assert layer("a seed", 5000) == layer("a seed", 5000) != layer("another", 5000)


def test_an_image_names_what_its_layers_hold() -> None:
    _, _, image = next(WORKLOADS["w1"].images())
    document = image.document
    layers = [image.blobs[Digest(item["digest"])] for item in document["layers"]]

    config = image.blobs[Digest(document["config"]["digest"])].decode()

    assert len(layers) == 5
    assert all(Digest.of(gzip.decompress(content)) in config for content in layers)


def test_images_share_what_the_workload_says() -> None:
    found = [wanted(tagged) for tagged in islice(WORKLOADS["w1"].images(), 30)]

    assert repositories(found) == ["w1/app00", "w1/app01", "w1/app02"]
    assert len({digest for one in found for digest in one.blobs}) == 30 * 4 + 2


def test_an_index_is_wanted_with_each_of_its_platforms() -> None:
    one = wanted(next(WORKLOADS["w4"].images()))

    assert len(one.manifests) == 1 + 4
    assert len(one.blobs) == 4 * 4


@pytest.mark.parametrize("name", ["w1", "w2", "w4"])
def test_nothing_of_a_workload_is_known_from_the_warm_up(name: str) -> None:
    warm = {digest for tagged in warm_up() for digest in wanted(tagged).blobs}

    first = wanted(next(WORKLOADS[name].images()))

    assert warm.isdisjoint(first.blobs)

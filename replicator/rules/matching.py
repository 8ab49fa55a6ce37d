"""Which artifacts a rule takes. What the event says (name, tag) is judged apart from what needs the manifest.

All filters of a rule must agree. They judge each tag by itself: an artifact tagged `v1` and `dev` brings `v1`
alone under `v*`.
"""

from replicator.oci import DOCKER_CONFIG, HELM_CONFIG, OCI_CONFIG, Manifest, Repository, Tag
from replicator.rules.filters import Filter, FilterType, Resource
from replicator.rules.glob import glob_match
from replicator.rules.rule import Rule

_IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})


def takes_name(rule: Rule, repository: Repository) -> bool:
    """Whether every name filter of the rule keeps `repository`."""
    return all(keeps_text(item, repository) for item in _filters(rule, FilterType.NAME))


def takes_tag(rule: Rule, tag: Tag | None) -> bool:
    """Whether every tag filter of the rule keeps `tag`; None, an artifact without a tag, is judged as ""."""
    return all(keeps_text(item, tag or "") for item in _filters(rule, FilterType.TAG))


def takes_manifest(rule: Rule, manifest: Manifest, labels: frozenset[str] | None) -> bool:
    """Whether every resource and label filter of the rule keeps `manifest`; `labels` None means no label."""
    return all(
        is_of(manifest, Resource(str(item.value))) for item in _filters(rule, FilterType.RESOURCE)
    ) and all(keeps_labels(item, labels or frozenset()) for item in _filters(rule, FilterType.LABEL))


def needs_manifest(rule: Rule) -> bool:
    """Whether the rule cannot decide on a reference by its name alone."""
    resources = (item.value for item in _filters(rule, FilterType.RESOURCE))
    return (
        bool(rule.platforms) or needs_labels(rule) or any(value != Resource.ARTIFACT for value in resources)
    )


def needs_labels(rule: Rule) -> bool:
    """Whether the rule cannot decide without the source's labels of an artifact."""
    return any(item.value for item in _filters(rule, FilterType.LABEL))


def keeps_text(item: Filter, text: str) -> bool:
    """Whether a name or tag filter keeps `text`. An empty pattern keeps everything, even if it excludes.

    A pattern that turns out bad on `text` keeps nothing, so that one rule's mistake never stops the others.
    """
    if not item.value:
        return True
    try:
        return glob_match(str(item.value), text) is not item.excludes
    except ValueError:
        return False


def keeps_labels(item: Filter, labels: frozenset[str]) -> bool:
    """Whether a label filter keeps an artifact with exactly `labels`: to match, it carries all those named."""
    return not item.value or labels.issuperset(item.value) is not item.excludes


def is_of(manifest: Manifest, resource: Resource) -> bool:
    """Whether `manifest` is such an artifact, by its artifact type: its config's media type if it declares none."""
    if resource is Resource.CHART:
        return manifest.artifact_type == HELM_CONFIG
    if resource is Resource.IMAGE:
        is_plain_index = manifest.is_index and not manifest.artifact_type
        return is_plain_index or manifest.artifact_type in _IMAGE_CONFIGS
    return True


def _filters(rule: Rule, kind: FilterType) -> list[Filter]:
    return [item for item in rule.filters if item.type is kind]

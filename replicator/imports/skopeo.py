"""From the YAML file of `skopeo sync --src yaml` to rules.

The destination and whether names are scoped are arguments of skopeo's command line, so they are arguments here.
"""

from dataclasses import dataclass

from replicator.imports.choices import ALL_TAGS, choose_tags, exact_tags, name_filter, tag_filter
from replicator.imports.draft import Draft, Line, RuleDraft
from replicator.imports.given import Given
from replicator.imports.places import (
    Image,
    Login,
    add_host,
    destination,
    landing,
    normal_host,
    plain_user,
    secret_variable,
    split_host,
)
from replicator.oci import Digest, Repository, Tag

_KEYS = frozenset(
    {"images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir"}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where skopeo puts images: a registry, perhaps a path in it, perhaps with the source's whole name below."""

    host: str
    path: str
    scoped: bool
    scheme: str = "https"

    @classmethod
    def of(cls, text: str, *, scoped: bool) -> "Target":
        """The target of a command line, with or without a scheme; raises ValueError if it is none."""
        scheme, _, rest = text.partition("://") if "://" in text else ("https", "", text)
        if scheme not in {"docker", "https", "http"}:
            raise ValueError(f"{scheme}:// is no registry")
        host, _, path = rest.strip("/").partition("/")
        where = normal_host(host), Repository(path) if path else ""
        return cls(*where, scoped, "http" if scheme == "http" else "https")

    def image_of(self, source: Image) -> Image:
        """The repository that copies land in; raises ValueError if there is no such name."""
        below = source.repository.rpartition("/")[2]
        below = f"{source.host}/{source.repository}" if self.scoped else below
        return Image(self.host, Repository(f"{self.path}/{below}" if self.path else below))


def import_skopeo(given: Given, target: Target) -> Draft:
    """The rules that copy what the file lists to `target`; raises ConfigError for a file of another shape."""
    draft = Draft("skopeo sync", given.file)
    draft.remarks += [
        "skopeo has no schedule, so every rule is started by hand. Choose another trigger where that suits.",
        "Without --all skopeo copies one platform of an image. Here every platform is copied.",
        "Logins that skopeo takes from its command line or from auth.json are not in the file: add a credential.",
    ]
    for name, registry in given.mapping().items():
        _take(draft, name, registry, target)
    return draft


def _take(draft: Draft, name: str, given: Given, target: Target) -> None:
    try:
        host = normal_host(name)
    except ValueError as exc:
        given.wrong(f"not a registry's host: {exc}")
    draft.left_out += [
        f"{given.path}: {key}: not a key that skopeo is known to have" for key in _unknown(given)
    ]
    login = _login(draft, host, given)
    for key in ("images", "images-by-tag-regex", "images-by-semver"):
        listed = given.get(key)
        for repository, wanted in (listed.mapping() if listed else {}).items():
            try:
                source = Image(*split_host(f"{host}/{repository}"))
                where = landing(source, target.image_of(source))
            except ValueError as exc:
                draft.left_out.append(f"{wanted.path}: {exc}")
                continue
            there = destination(add_host(draft, target.host, Login(scheme=target.scheme)), where)
            origin = f"{source.host}/{source.repository}"
            rule = RuleDraft(draft.rule_name(origin), origin, add_host(draft, source.host, login), there)
            rule.filters.append(name_filter(source.repository))
            if _choose(draft, rule, key, wanted):
                rule.lines.append(Line("trigger", {"type": "manual"}))
                draft.rules.append(rule)


def _choose(draft: Draft, rule: RuleDraft, key: str, given: Given) -> bool:
    """Gives the rule its tag filters; False if it would take nothing."""
    if key == "images-by-tag-regex":
        choose_tags(rule, [given.text()])
    elif key == "images-by-semver":
        rule.filters.append(tag_filter(ALL_TAGS))
        rule.doubts.append(f"patterns do not know versions: skopeo took only those that are {given.text()}")
    elif not given.items():
        rule.filters.append(tag_filter(ALL_TAGS))
        return True
    else:
        return _choose_listed(draft, rule, given)
    rule.lines.append(_ignored())
    return True


def _choose_listed(draft: Draft, rule: RuleDraft, given: Given) -> bool:
    tags = []
    for each in given.items():
        try:
            if ":" in each.text():
                digest = Digest(each.text())
                draft.left_out.append(f"{rule.origin}@{digest}: rules follow tags, not single digests")
            else:
                tags.append(Tag(each.text()))
        except ValueError as exc:
            each.wrong(str(exc))
    if tags:
        rule.filters.append(exact_tags(tags))
        rule.lines.append(_ignored())
    return bool(tags)


def _ignored() -> Line:
    return Line("signatures", "ignore", "skopeo copies these tags alone; without this line signatures follow")


def _login(draft: Draft, host: str, given: Given) -> Login:
    remarks = []
    if given.text_of("cert-dir"):
        remarks.append(
            f"cert-dir {given.text_of('cert-dir')}: name its files in tls: ca_file, cert_file, key_file"
        )
    credentials = given.get("credentials")
    if not credentials:
        return Login(any_certificate=not given.flag_of("tls-verify", default=True), remarks=tuple(remarks))
    return Login(
        user=plain_user(draft, host, credentials.text_of("username")),
        secret=secret_variable(draft, host),
        any_certificate=not given.flag_of("tls-verify", default=True),
        remarks=tuple(remarks),
    )


def _unknown(given: Given) -> list[str]:
    return sorted(set(given.keys()) - _KEYS)

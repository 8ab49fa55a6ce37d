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

    def name_of(self, host: str, repository: Repository) -> Repository:
        """The repository that a copy lands in; raises ValueError if it cannot have one."""
        below = f"{host}/{repository}" if self.scoped else repository.rpartition("/")[2]
        return Repository(f"{self.path}/{below}" if self.path else below)


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
    lists = [(key, given.get(key)) for key in ("images", "images-by-tag-regex", "images-by-semver")]
    for key, listed in lists:
        for repository, wanted in (listed.mapping() if listed else {}).items():
            rule = _rule(draft, host, repository, wanted, login, target)
            if rule and _choose(draft, rule, key, wanted):
                rule.lines.append(Line("trigger", {"type": "manual"}))
                draft.rules.append(rule)


def _rule(
    draft: Draft, host: str, repository: str, given: Given, login: Login, target: Target
) -> RuleDraft | None:
    try:
        source = split_host(f"{host}/{repository}")[1]
        wanted = target.name_of(host, source)
        where = landing(Image(host, source), Image(target.host, wanted))
    except ValueError as exc:
        draft.left_out.append(f"{given.path}: {exc}")
        return None
    there = destination(add_host(draft, target.host, Login(scheme=target.scheme)), where)
    name = draft.rule_name(f"{host}/{source}")
    return RuleDraft(name, f"{host}/{source}", add_host(draft, host, login), there, [name_filter(source)])


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

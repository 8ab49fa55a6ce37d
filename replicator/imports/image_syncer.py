"""From image-syncer's files to rules: its two files, for logins and for images, or the older single one with both."""

import re
from collections.abc import Iterator

from replicator.imports.choices import ALL_TAGS, choose_tags, exact_tags, name_filter, tag_filter
from replicator.imports.draft import Draft, Line, RuleDraft
from replicator.imports.given import Given
from replicator.imports.places import (
    Image,
    Login,
    add_host,
    destination,
    image,
    landing,
    normal_host,
    secret_variable,
)
from replicator.oci import Tag

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def import_image_syncer(images: Given, auth: Given | None = None) -> Draft:
    """The rules that copy what `images` lists; logins are in `auth`, or in `images` if that holds both.

    Raises ConfigError for files of another shape.
    """
    draft = Draft("image-syncer", images.file)
    draft.remarks += [
        "image-syncer has no schedule, so every rule is started by hand. Choose another trigger where that suits.",
        "Options of its command line (--os, --arch, --registry) are not in the file: here every platform is copied.",
    ]
    whole = images.get("images")
    if whole is not None and isinstance(whole.value, dict):
        images, auth = whole, auth or images.get("auth")
    logins = auth or Given(images.file, "auth", None, {})
    for source, targets in images.mapping().items():
        for target in targets.items() if isinstance(targets.value, list) else [targets]:
            _take(draft, source, target, logins)
    return draft


def _take(draft: Draft, source: str, target: Given, logins: Given) -> None:
    wanted = target.text()
    if "$" in wanted:
        draft.left_out.append(
            f"{target.path}: its destination has a variable, and rules have none: write its value there"
        )
        return
    if not wanted:
        draft.left_out.append(
            f"{target.path}: it has no destination but image-syncer's default: write it there"
        )
        return
    name, choice = _split(source)
    try:
        origin, there = image(name), image(_split(wanted)[0])
        rule = _rule(draft, origin, there, logins)
        _choose(rule, choice, _split(wanted)[1])
    except ValueError as exc:
        draft.left_out.append(f"{target.path}: {exc}")
        return
    rule.lines.append(Line("trigger", {"type": "manual"}))
    draft.rules.append(rule)


def _split(text: str) -> tuple[str, str]:
    """A repository and what follows its colon or is its digest."""
    name, at, digest = text.partition("@")
    if at:
        return name, f"@{digest}"
    head, slash, last = text.partition("/")
    # A regular expression may hold slashes, so the first colon behind the registry counts.
    if not slash or head.endswith(":"):
        head, last = "", text
    repository, _, choice = last.partition(":")
    return (f"{head}/{repository}" if head else repository), choice


def _rule(draft: Draft, source: Image, target: Image, logins: Given) -> RuleDraft:
    where = landing(source, target)
    names = [add_host(draft, each.host, _login(draft, each, logins)) for each in (source, target)]
    shown = f"{source.host}/{source.repository}"
    return RuleDraft(
        draft.rule_name(shown),
        f"{shown} to {target.host}/{target.repository}",
        names[0],
        destination(names[1], where),
        [name_filter(source.repository)],
    )


def _choose(rule: RuleDraft, choice: str, renamed: str) -> None:
    if choice.startswith("@"):
        raise ValueError("rules follow tags, not single digests")
    if renamed and renamed != choice:
        raise ValueError("its tags are renamed, and a rule keeps tags")
    if not choice:
        rule.filters.append(tag_filter(ALL_TAGS))
        return
    if len(choice) > 1 and choice[0] == choice[-1] == "/":
        choose_tags(rule, [choice[1:-1]])
    else:
        rule.filters.append(exact_tags([Tag(each.strip()) for each in choice.split(",")]))
    remark = "image-syncer copies these tags alone; without this line signatures follow"
    rule.lines.append(Line("signatures", "ignore", remark))


def _login(draft: Draft, place: Image, logins: Given) -> Login:
    """The login of the longest entry that the repository begins with."""
    keys = sorted(_matching(place, logins), key=len, reverse=True)
    if not keys:
        return Login()
    given = logins.mapping()[keys[0]]
    remarks = [f"with the login of {keys[0]}"] if "/" in keys[0] else []
    if given.get("identity_token"):
        remarks.append("identity_token: not carried over; write a user name and a password")
    insecure = given.flag_of("insecure")
    if insecure:
        remarks.append("insecure: true may mean plain http, or https with any certificate: see the url")
    user = _expanded(given.text_of("username"))
    secret = _secret(draft, keys[0], given.text_of("password"))
    return Login(user, secret, scheme="http" if insecure else "https", remarks=tuple(remarks))


def _matching(place: Image, logins: Given) -> Iterator[str]:
    whole = f"{place.host}/{place.repository}/"
    for key, entry in logins.mapping().items():
        host, slash, path = key.partition("/")
        try:
            known = normal_host(host)
        except ValueError:
            entry.wrong("its key is no registry")
        if whole.startswith(f"{known}{slash}{path}/"):
            yield key


def _expanded(text: str) -> str:
    # image-syncer expands $NAME as well as ${NAME}.
    return _VARIABLE.sub(lambda found: f"${{{found[1] or found[2]}}}", text)


def _secret(draft: Draft, host: str, text: str) -> str:
    if not text:
        return ""
    return _expanded(text) if _VARIABLE.fullmatch(text) else secret_variable(draft, host)

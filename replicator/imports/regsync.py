"""From regsync's configuration to rules: one for each step, or for each set of tags of a step."""

import re
from dataclasses import dataclass

from replicator.imports.choices import (
    ALL_TAGS,
    choose_names,
    choose_tags,
    exact_tags,
    name_filter,
    tag_filter,
)
from replicator.imports.draft import Draft, Item, Line, RuleDraft, Value
from replicator.imports.given import Given
from replicator.imports.places import (
    Image,
    Login,
    add_host,
    destination,
    image,
    landing,
    normal_host,
    plain_user,
    secret_variable,
)
from replicator.imports.times import cron_of_interval, cron_of_schedule
from replicator.oci import Tag

_ENV = re.compile(r"\{\{-?\s*env\s+[\"'`]([A-Za-z_][A-Za-z0-9_]*)[\"'`]\s*-?\}\}")
_FILE = re.compile(r"\{\{-?\s*file\s+[\"'`]([^\"'`]+)[\"'`]\s*-?\}\}")
_CREDS = frozenset({"registry", "hostname", "user", "pass", "tls", "regcert"})
_DEFAULTS = frozenset({"interval", "schedule", "digestTags", "referrers", "skipDockerConfig", "userAgent"})
_STEP = frozenset(
    {"source", "target", "type", "tags", "tagSets", "repos", "platform", "platforms"}
    | {"interval", "schedule", "digestTags", "referrers", "fastCopy", "fastCheck", "forceRecursive"}
)
# What a step inherits.
_INHERITED = ("backup", "mediaTypes", "referrerFilters", "includeExternal", "ratelimit", "hooks")
_TOP = frozenset({"version", "creds", "defaults", "sync"})


@dataclass(frozen=True, slots=True)
class _Config:
    """What steps are read into, and what they share."""

    draft: Draft
    defaults: Given
    logins: dict[str, Login]

    def names_of(self, *hosts: str) -> list[str]:
        """The names of registries, which are described in the draft from now on."""
        return [add_host(self.draft, host, self.logins.get(host, Login())) for host in hosts]


def import_regsync(given: Given) -> Draft:
    """The rules that do what the file's steps do; raises ConfigError for a file of another shape."""
    if given.text_of("version") not in ("", "1"):
        given.need("version").wrong("only version 1 is known")
    draft = Draft("regsync", given.file)
    defaults = given.get("defaults") or Given(given.file, "defaults", None, {})
    other = sorted(key for key in set(given.keys()) - _TOP if not key.startswith("x-"))
    other += sorted(f"defaults.{key}" for key in set(defaults.keys()) - _DEFAULTS - set(_INHERITED))
    if other:
        draft.remarks.append(f"not carried over: {', '.join(other)}")
    config = _Config(draft, defaults, dict(_login(draft, each) for each in given.items_of("creds")))
    for step in given.items_of("sync"):
        _take(config, step)
    return draft


def _login(draft: Draft, given: Given) -> tuple[str, Login]:
    try:
        name = normal_host(given.need("registry").text())
        host = given.text_of("hostname")
        real = normal_host(host) if host else name
    except ValueError as exc:
        given.wrong(f"not a registry: {exc}")
    tls = given.text_of("tls")
    remarks = [f"{key}: not carried over" for key in sorted(set(given.keys()) - _CREDS)]
    if given.get("regcert"):
        remarks.append("regcert: write the certificate into a file and name it: tls: {ca_file: ...}")
    if real != name:
        remarks.append(f"hostname {real}: write it into the url below, in the place of {name}")
    user, secret, file = (
        _user(draft, name, given),
        _secret(draft, name, given),
        _FILE.fullmatch(given.text_of("pass")),
    )
    return name, Login(
        user=user,
        secret="" if file else secret,
        secret_file=file[1] if file else "",
        scheme="http" if tls == "disabled" else "https",
        any_certificate=tls == "insecure",
        remarks=tuple(remarks),
    )


def _user(draft: Draft, name: str, given: Given) -> str:
    text = given.text_of("user")
    if _ENV.fullmatch(text):
        return _ENV.sub(r"${\1}", text)
    if "{{" in text:
        return draft.variable(f"{name}_USER", f"the user name at {name}, a template in the original")
    return plain_user(draft, name, text)


def _secret(draft: Draft, name: str, given: Given) -> str:
    text = given.text_of("pass")
    if _ENV.fullmatch(text):
        return _ENV.sub(r"${\1}", text)
    return secret_variable(draft, name) if text and not _FILE.fullmatch(text) else ""


def _take(config: _Config, step: Given) -> None:
    draft = config.draft
    kind = step.need("type").text()
    source, target = step.need("source").text(), step.need("target").text()
    for each, text in (("source", source), ("target", target)):
        if "{{" in text:
            draft.left_out.append(
                f"{step.path}: {each} is a template, and rules have none: write its value there"
            )
            return
        if text.startswith(("ocidir://", "ocifile://")):
            draft.left_out.append(f"{step.path}: {each} is a directory, not a registry")
            return
    try:
        if kind == "registry":
            rules = _registry_rules(config, step, source, target)
        elif kind in ("repository", "image"):
            rules = _image_rules(config, step, image(source), image(target))
        else:
            step.need("type").wrong("expected image, repository or registry")
    except ValueError as exc:
        draft.left_out.append(f"{step.path}: {exc}")
        return
    for rule in rules:
        _finish(config, rule, step)


def _registry_rules(config: _Config, step: Given, source: str, target: str) -> list[RuleDraft]:
    hosts = normal_host(source), normal_host(target)
    if hosts[0] == hosts[1]:
        raise ValueError("it would be copied onto itself")
    names = config.names_of(*hosts)
    repos = step.get("repos")
    filters: list[list[Item]] = [[]]
    doubt = ""
    if repos:
        filters, doubt = choose_names(_bound(repos, "allow"), _bound(repos, "deny"))
    rules = []
    for each in filters:
        for tags in _tag_sets(step):
            rule = RuleDraft("", f"{step.path}: {source} to {target}", names[0], names[1], list(each))
            rule.doubts += [doubt] * bool(doubt)
            _choose_tags(rule, tags)
            rules.append(rule)
    return rules


def _image_rules(config: _Config, step: Given, source: Image, target: Image) -> list[RuleDraft]:
    single = step.text_of("type") == "image"
    tag = source.tag or Tag("latest")
    if source.digest:
        raise ValueError("rules follow tags, not single digests")
    if single and tag != (target.tag or Tag("latest")):
        raise ValueError(f"the tag {tag} becomes {target.tag or 'latest'}, and a rule keeps tags")
    where = landing(source, target)
    names = config.names_of(source.host, target.host)
    there = destination(names[1], where)
    shown = f"{source.host}/{source.repository}{f':{tag}' if single else ''}"
    origin = f"{step.path}: {shown} to {target.host}/{target.repository}"
    rules = []
    for tags in [None] if single else _tag_sets(step):
        rule = RuleDraft("", origin, names[0], there, [name_filter(source.repository)])
        if single:
            rule.filters.append(exact_tags([tag]))
        else:
            _choose_tags(rule, tags)
        rules.append(rule)
    return rules


def _tag_sets(step: Given) -> list[Given | None]:
    # The sets of a step are added up, so that each is a rule of its own.
    sets: list[Given | None] = [each for each in [step.get("tags"), *step.items_of("tagSets")] if each]
    return sets or [None]


def _choose_tags(rule: RuleDraft, tags: Given | None) -> None:
    if tags is None:
        rule.filters.append(tag_filter(ALL_TAGS))
        return
    allow, deny = _bound(tags, "allow"), _bound(tags, "deny")
    versions = tags.items_of("semverRange")
    if versions and not allow:
        rule.filters.append(tag_filter(ALL_TAGS))
    elif allow or deny:
        choose_tags(rule, allow, deny)
    else:
        rule.filters.append(tag_filter(ALL_TAGS))
    if versions:
        said = " or ".join(each.text() for each in versions)
        rule.doubts.append(f"patterns do not know versions: regsync also asked for {said}")


def _bound(given: Given, key: str) -> list[str]:
    # regsync puts these signs around each expression, which binds the alternatives of `a|b` on one side only.
    return [f"^{each.text()}$" for each in given.items_of(key)]


def _finish(config: _Config, rule: RuleDraft, step: Given) -> None:
    draft, defaults = config.draft, config.defaults
    rule.name = draft.rule_name(rule.origin.partition(": ")[2].partition(" to ")[0])
    for key in ("platform", "platforms"):
        found = step.get(key)
        if found:
            said = found.text() if key == "platform" else ", ".join(each.text() for each in found.items())
            rule.doubts.append(
                f"{key} {said}: regsync copies no other platform, here every one is copied; see `platforms`"
            )
    for key in _INHERITED:
        if step.get(key) or defaults.get(key):
            _not_carried(rule, key)
    rule.remarks += [f"{key}: not carried over" for key in sorted(set(step.keys()) - _STEP - set(_INHERITED))]
    _signatures(rule, step, defaults)
    rule.lines.append(_trigger(step, defaults))
    draft.rules.append(rule)


def _not_carried(rule: RuleDraft, key: str) -> None:
    reasons = {
        "backup": "what a tag held before it moves is not kept",
        "mediaTypes": "every media type is copied",
        "referrerFilters": "every referrer is copied, or none",
        "includeExternal": "layers that lie elsewhere stay there",
        "ratelimit": "the answers of the registries are obeyed instead; see `limits`",
        "hooks": "nothing is called",
    }
    if key in ("mediaTypes", "referrerFilters"):
        rule.doubts.append(f"{key}: not carried over, {reasons[key]}")
    else:
        rule.remarks.append(f"{key}: not carried over, {reasons[key]}")


def _signatures(rule: RuleDraft, step: Given, defaults: Given) -> None:
    found = {
        key: step.flag_of(key, default=defaults.flag_of(key, default=False))
        for key in ("digestTags", "referrers")
    }
    wanted = [key for key, value in found.items() if value]
    takes_all = not any(item.value for item in rule.filters if _is_narrow(item.value))
    if len(wanted) == 1:
        rule.lines.append(Line("signatures", "follow", f"{wanted[0]} alone was asked for; both come along"))
    elif not wanted and not takes_all:
        remark = "neither digestTags nor referrers was asked for; without this line signatures follow"
        rule.lines.append(Line("signatures", "ignore", remark))


def _is_narrow(value: Value) -> bool:
    return isinstance(value, dict) and value["type"] == "tag" and value["value"] != ALL_TAGS


def _trigger(step: Given, defaults: Given) -> Line:
    # A schedule goes before an interval, even a default one before the step's own interval.
    schedule = step.get("schedule") or defaults.get("schedule")
    interval = step.get("interval") or defaults.get("interval")
    given = schedule or interval
    if given is None:
        return Line("trigger", {"type": "manual"}, "there was neither schedule nor interval")
    try:
        cron, zone, remark = cron_of_schedule(given.text()) if schedule else cron_of_interval(given.text())
    except ValueError as exc:
        given.wrong(str(exc))
    return Line("trigger", {"type": "scheduled", "cron": cron, "timezone": zone}, remark)

"""From Harbor's replication policies to rules: what its API lists, or a file in the form that `replication_policy` has.

The Harbor that runs the policies is nowhere described in them: it is a registry without an id. So its URL is asked for.
"""

from dataclasses import dataclass

from replicator.errors import ConfigError
from replicator.imports.draft import Draft, Item, Line, RegistryDraft, RuleDraft, Value
from replicator.imports.given import Given, printable
from replicator.imports.places import Login, add_registry, plain_user
from replicator.imports.times import cron_line
from replicator.oci import Repository
from replicator.rulefiles import grammar
from replicator.rulefiles.files import PATTERN_LIMIT
from replicator.rules import Decoration, Filter, FilterType, RegistryType

_TYPES = {
    "harbor": RegistryType.HARBOR,
    "docker-hub": RegistryType.DOCKERHUB,
    "docker-registry": RegistryType.DISTRIBUTION,
    "quay": RegistryType.QUAY,
    "quay-io": RegistryType.QUAY,
    "gitlab": RegistryType.GITLAB,
    "github-ghcr": RegistryType.GHCR,
    "aws-ecr": RegistryType.ECR,
    "azure-acr": RegistryType.ACR,
    "google-gcr": RegistryType.GAR,
    "jfrog-artifactory": RegistryType.ARTIFACTORY,
}
# What Harbor's database keeps beside a policy, and what is looked at below.
_POLICY = frozenset(
    {"id", "name", "description", "creator", "creation_time", "update_time", "src_registry", "dest_registry"}
    | {
        "dest_namespace",
        "dest_namespace_replace_count",
        "trigger",
        "filters",
        "deletion",
        "replicate_deletion",
    }
    | {"override", "enabled", "speed", "copy_by_chunk", "single_active_replication", "src_namespaces"}
)


@dataclass(frozen=True, slots=True)
class Local:
    """Where the Harbor is that the policies were exported from, and what it is called."""

    url: str
    name: str = "local"


@dataclass(frozen=True, slots=True)
class _Export:
    """What policies are read into, and the registries that they may speak of."""

    draft: Draft
    registries: dict[str, Given]
    local: Local | None


def import_harbor(given: Given, registries: Given | None = None, local: Local | None = None) -> Draft:
    """The rules that do what the policies say; registries are described in them, or better in `registries`.

    Raises ConfigError for files of another shape, and for a policy of the local Harbor if `local` is not known.
    """
    export = _Export(Draft("Harbor", given.file), _by_id(registries), local)
    found = given.mapping().get("replication_policy", given) if isinstance(given.value, dict) else given
    policies = found.items() if isinstance(found.value, list) else [found]
    for policy in policies:
        _take(export, policy)
    return export.draft


def _by_id(registries: Given | None) -> dict[str, Given]:
    if registries is None:
        return {}
    listed = registries.items() if isinstance(registries.value, list) else [registries]
    return {each.need("id").text(): each for each in listed}


def _take(export: _Export, given: Given) -> None:
    draft, name = export.draft, given.need("name").text()
    source = _registry(export, given, "src_registry")
    there = _registry(export, given, "dest_registry")
    if source.name == there.name and not given.text_of("dest_namespace"):
        draft.left_out.append(f"{name}: it would be copied onto itself")
        return
    rule = RuleDraft(draft.rule_name(name), f"policy {name}", source.name, _destination(given, there.name))
    if rule.name != name:
        rule.remarks.append(f"a name of ours for {name}")
    if given.text_of("description"):
        rule.remarks.append(given.text_of("description"))
    for each in given.items_of("filters"):
        _filter(rule, each, source)
    trigger = _trigger(given)
    rule.lines.append(trigger)
    rule.lines += _choices(given, trigger)
    rule.remarks += _not_carried(given)
    if isinstance(trigger.value, dict) and trigger.value["type"] == "event_based":
        _listen(draft, source)
    draft.rules.append(rule)


def _registry(export: _Export, policy: Given, key: str) -> RegistryDraft:
    given = policy.get(key)
    if given is None or _is_local(given):
        if export.local is None:
            policy.wrong(
                f"{key} is the Harbor that this was exported from: say where it is with --local-url URL"
            )
        remark = "the Harbor that this was exported from: add a credential, if its projects are not public"
        return _add(export.draft, export.local, RegistryType.HARBOR, Login(remarks=(remark,)))
    number = given.text_of("id")
    given = export.registries.get(number, given)
    if not given.text_of("url"):
        given.wrong(
            f"the registry {number} has no url: export GET /api/v2.0/registries too, for --registries FILE"
        )
    return _described(export.draft, given)


def _is_local(given: Given) -> bool:
    number = given.text_of("id")
    return number == "0" or given.text_of("name") == "Local" or not (number or given.text_of("url"))


def _described(draft: Draft, given: Given) -> RegistryDraft:
    written = given.text_of("type")
    kind = _TYPES.get(written) or next((each for each in RegistryType if each == written), None)
    remarks = [] if kind else [f"Harbor's type {written or '(none)'}, which is not known here"]
    url = given.need("url").text()
    try:
        host, port = grammar.host_of(grammar.url(url))
    except ValueError as exc:
        given.need("url").wrong(str(exc))
    name = given.text_of("name") or (f"{host}:{port}" if port else host)
    login = _login(draft, name, given.get("credential"))
    more = Login(login.user, login.secret, any_certificate=given.flag_of("insecure"), remarks=tuple(remarks))
    return _add(draft, Local(url, name), kind or RegistryType.DISTRIBUTION, more)


def _login(draft: Draft, name: str, given: Given | None) -> Login:
    if given is None or not (given.text_of("access_key") or given.text_of("access_secret")):
        return Login()
    secret = given.text_of("access_secret")
    # Harbor shows asterisks. Whatever a file has instead, only a variable may pass.
    kept = (
        secret
        if _is_variable(secret)
        else draft.variable(f"{name}_SECRET", f"the password or token for {name}")
    )
    key = given.text_of("access_key")
    return Login(key if _is_variable(key) else plain_user(draft, name, key), kept)


def _is_variable(text: str) -> bool:
    inner = text.removeprefix("${").removesuffix("}")
    return text == f"${{{inner}}}" and inner.isidentifier() and inner.isascii()


def _add(draft: Draft, place: Local, kind: RegistryType, login: Login) -> RegistryDraft:
    try:
        address = grammar.url(place.url)
    except ValueError as exc:
        raise ConfigError(f"the URL of the registry {printable(place.name)}: {exc}") from exc
    return add_registry(draft, place.name, url=address, kind=Line("type", kind.value), login=login)


def _listen(draft: Draft, source: RegistryDraft) -> None:
    """Gives the registry a webhook secret: Harbor knows of its own pushes, we must be told."""
    if not any(line.key == "webhook" for line in source.lines):
        secret = draft.variable(
            f"{source.name}_WEBHOOK_SECRET", f"the auth header of the webhook at {source.name}"
        )
        remark = f"new: add a webhook there that posts to /webhooks/{source.name}"
        source.lines.append(Line("webhook", {"secret": secret}, remark))


def _destination(given: Given, name: str) -> Value:
    namespace = given.text_of("dest_namespace")
    if not namespace:
        return name
    count = given.get("dest_namespace_replace_count")
    number = count.number() if count else -1
    if count and not -1 <= number <= 127:
        count.wrong("expected a number from -1 to 127")
    try:
        return {"registry": name, "namespace": str(Repository(namespace)), "replace_count": number}
    except ValueError as exc:
        given.need("dest_namespace").wrong(str(exc))


def _filter(rule: RuleDraft, given: Given, source: RegistryDraft) -> None:
    kind, value = given.need("type").text(), given.get("value")
    if value is None or value.value in ("", []):
        return
    said: Value = [each.text() for each in value.items()] if isinstance(value.value, list) else value.text()
    if kind == FilterType.LABEL and isinstance(said, str):
        said = [said]
    written: dict[str, Value] = {"type": kind, "value": said}
    if given.text_of("decoration") == Decoration.EXCLUDES:
        written["decoration"] = Decoration.EXCLUDES.value
    try:
        _check(FilterType(kind), said, Decoration(given.text_of("decoration") or Decoration.MATCHES))
    except ValueError as exc:
        rule.doubts.append(f"the filter {kind} {str(said)[:200]}: {str(exc)[:200]}")
        return
    if kind == FilterType.LABEL and source.lines[0].value != RegistryType.HARBOR:
        rule.doubts.append(f"the filter label {said}: only a Harbor has labels")
        return
    remark = (
        "Harbor keeps this filter without applying it; here it is applied"
        if kind == FilterType.RESOURCE
        else ""
    )
    rule.filters.append(Item(written, remark))


def _check(kind: FilterType, value: Value, decoration: Decoration) -> None:
    """Raises ValueError for a filter that a rule cannot have."""
    if isinstance(value, str) and len(value) > PATTERN_LIMIT:
        raise ValueError(f"it has more than {PATTERN_LIMIT} characters")
    Filter(kind, tuple(map(str, value)) if isinstance(value, list) else str(value), decoration)


def _trigger(given: Given) -> Line:
    trigger = given.get("trigger")
    kind = trigger.text_of("type") if trigger else "manual"
    if trigger is None or kind in ("manual", ""):
        return Line("trigger", {"type": "manual"})
    if kind in ("event_based", "push"):
        return Line("trigger", {"type": "event_based"})
    if kind != "scheduled":
        trigger.need("type").wrong("expected manual, scheduled or event_based")
    settings = trigger.get("trigger_settings") or trigger
    cron = settings.need("cron")
    try:
        line = cron_line(cron.text(), fields=6)
    except ValueError as exc:
        cron.wrong(str(exc))
    return Line("trigger", {"type": "scheduled", "cron": line, "timezone": "UTC"})


def _choices(given: Given, trigger: Line) -> list[Line]:
    lines = []
    deletion, other = given.get("deletion"), given.get("replicate_deletion")
    if any(each is not None and each.flag() for each in (deletion, other)):
        lines.append(_deletion(deletion, other, trigger))
    if not given.flag_of("override", default=True):
        lines.append(Line("override", False))
    if not given.flag_of("enabled", default=True):
        lines.append(Line("enabled", False))
    return lines


def _deletion(deletion: Given | None, other: Given | None, trigger: Line) -> Line:
    if trigger.value != {"type": "event_based"}:
        return Line(
            "deletion", False, "it was true, but Harbor deletes nothing unless the trigger is event_based"
        )
    if deletion is not None and other is not None and deletion.flag() is not other.flag():
        return Line("deletion", deletion.flag(), "replicate_deletion says otherwise, which Harbor ignores")
    return Line("deletion", True)


def _not_carried(given: Given) -> list[str]:
    remarks = []
    speed = given.get("speed")
    if speed and speed.number() > 0:
        remarks.append(
            f"speed {speed.number()} (kilobits a second and stream): not carried over; see `limits.bandwidth`"
        )
    if given.flag_of("copy_by_chunk"):
        remarks.append("copy_by_chunk: not carried over, large blobs go in chunks where that helps")
    if given.flag_of("single_active_replication"):
        remarks.append("single_active_replication: always so, a rule never runs beside itself")
    return remarks + [f"{key}: not carried over" for key in sorted(set(given.keys()) - _POLICY)]

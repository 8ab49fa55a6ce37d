"""What an operator types, on a real ledger and nothing else: no receiver, no registries."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicator.cli.commands import app
from replicator.jobs import Job, Outcome
from replicator.ledger import Claim, Ledger, Promotion, Recorder, State, Submission, connect_async
from replicator.oci import Digest, Repository, Tag
from tests.integration.processes import RedisServer
from tests.unit.rulefiles.kit import REGISTRIES, write

THEIRS = "the destination holds sha256:1, which we did not put there"
DENIED = "writing mirror/web:v2 at us: answered 401 (UNAUTHORIZED)"
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
RULES = (
    REGISTRIES
    + """\
rules:
  - {name: prod, source: eu, destinations: [{registry: us, namespace: mirror, replace_count: 1}]}
  - {name: other, source: us, destinations: [ap]}
"""
)


def job(tag: str, *, rule: str = "prod", destination: str = "us") -> Job:
    return Job(rule, destination, Repository("team/web"), Tag(tag))


class Shell:
    """A shell whose environment names a Redis and rules."""

    def __init__(self, ledger: Ledger, environment: dict[str, str]) -> None:
        self.ledger = ledger
        self.environment = environment

    def run(self, *arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(app, arguments, env=self.environment, input=typed)

    def said(self, *arguments: str, status: int = 0) -> str:
        result = self.run(*arguments)
        assert result.exit_code == status, (result.output, result.exception)
        return result.stdout

    def json(self, *arguments: str) -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = json.loads(self.said(*arguments, "--json"))
        return found

    def claimed(self, this: Job) -> Claim:
        self.ledger.submit([Submission(this, self.ledger.view.now() - 720, trace=TRACE)])
        claim = self.ledger.claim(this.id)
        assert isinstance(claim, Claim)
        return claim

    def states(self) -> dict[str, State]:
        return {view.reference: view.state for view in self.ledger.view.each()}


@pytest.fixture
def shell(redis_server: RedisServer, tmp_path: Path) -> Iterator[Shell]:
    """A ledger with v1 pending, v2 parked, v3 blocked, v4 of another rule parked, v5 ended, and a dead letter."""
    rules = write(tmp_path / "rules", {"r.yaml": RULES})
    ledger = Ledger.connect(redis_server.url)
    made = Shell(ledger, {"REPLICATOR_REDIS_URL": redis_server.url, "REPLICATOR_RULES": str(rules)})
    ledger.submit([Submission(job("v1"), ledger.view.now() - 5)])
    ledger.park(made.claimed(job("v2")), DENIED)
    ledger.block(made.claimed(job("v3")), THEIRS)
    ledger.park(made.claimed(job("v4", rule="other", destination="ap")), "corrupt")
    ledger.finish(made.claimed(job("v5")), Outcome.COPIED, digest=Digest.of(b"x"))
    asyncio.run(_bury(redis_server.url, ledger))
    yield made
    ledger.close()


async def _bury(url: str, ledger: Ledger) -> None:
    client = connect_async(url)
    await Recorder(client).record(registry="eu", content_type="text/x", body=b"no", trace=None)
    await client.aclose()
    inbox = ledger.inbox("router")
    (letter,) = inbox.read() or inbox.read()
    inbox.bury(letter, "it is no JSON")


def letter_id(shell: Shell) -> str:
    return shell.ledger.view.dead_letters()[0].id


# Looking


def test_failures_are_listed_with_both_sides_in_full_and_the_reason(shell: Shell) -> None:
    bare, listed = shell.said("failures"), shell.said("failures", "list")

    assert bare == listed
    assert bare.splitlines() == [
        f"{job('v2').id}  parked  rule prod  eu/team/web:v2 -> us/mirror/web:v2",
        f"    gave up after 1 try: {DENIED} (since 12 min)",
        f"{job('v4', rule='other', destination='ap').id}  parked  rule other  us/team/web:v4 -> ap/team/web:v4",
        "    gave up after 1 try: corrupt (since 12 min)",
        f"{job('v3').id}  blocked  rule prod  eu/team/web:v3 -> us/mirror/web:v3",
        f"    waits for a person's approval: {THEIRS} (since 12 min)",
        f"{letter_id(shell)}  dead letter  from eu",
        bare.splitlines()[7],
    ]
    assert re.fullmatch(r" {4}it is no JSON \(received \d+ s ago\)", bare.splitlines()[7])


def test_a_promotion_is_listed_with_what_was_to_be_copied(shell: Shell) -> None:
    web, api = Repository("team/web"), Repository("prod/api")
    order = Promotion("eu", web, Digest.of(b"x"), "us", api, Tag("stable"), tag=Tag("v1"))

    shell.ledger.promote(order, shell.ledger.view.now())
    claim = shell.ledger.claim(order.job.id)
    assert isinstance(claim, Claim)
    shell.ledger.park(claim, DENIED)

    waiting = shell.said("failures", "--rule", "promote")
    assert waiting.startswith(f"{order.job.id}  parked  rule promote  eu/team/web:v1 -> us/prod/api:stable\n")
    (answer,) = shell.json("failures", "--rule", "promote")["jobs"]
    assert (answer["source"], answer["repository"], answer["target"]) == ("eu", web, api)

    shell.ledger.promote(order, shell.ledger.view.now())
    claim = shell.ledger.claim(order.job.id)
    assert isinstance(claim, Claim)
    shell.ledger.finish(claim, Outcome.COPIED, digest=order.digest, promoted=(order, None))

    ended = shell.said("jobs", "list", "--state", "done", "--rule", "promote")
    assert "eu/team/web:v1 -> us/prod/api:stable\n" in ended


@pytest.mark.parametrize(
    ("arguments", "tags", "letters"),
    [
        ((), ["v2", "v4", "v3"], 1),
        (("--rule", "prod"), ["v2", "v3"], 0),
        (("--destination", "ap"), ["v4"], 0),
        (("--source", "eu"), ["v2", "v3"], 1),
        (("--repository", "team/*", "--state", "blocked"), ["v3"], 0),
        (("--state", "dead"), [], 1),
        (("--limit", "1"), ["v2"], 1),
    ],
)
def test_failures_are_filtered(
    shell: Shell, arguments: tuple[str, ...], tags: list[str], letters: int
) -> None:
    found = shell.json("failures", *arguments)

    assert [one["reference"] for one in found["jobs"]] == tags
    assert len(found["dead_letters"]) == letters


def test_jobs_are_listed_open_ones_or_ended_ones(shell: Shell) -> None:
    assert [one["reference"] for one in shell.json("jobs")["jobs"]] == ["v2", "v3", "v4", "v1"]
    assert [one["reference"] for one in shell.json("jobs", "--state", "done")["jobs"]] == ["v5"]
    assert "waits for its turn (since 5 s)" in shell.said("jobs", "--state", "pending")
    assert shell.said("jobs", "list", "--repository", "no/**") == "there are no such jobs\n"


def test_a_list_that_is_cut_says_so(shell: Shell) -> None:
    assert shell.run("jobs", "--limit", "3").stderr == "there are more: --limit N lists more\n"
    assert shell.run("jobs", "--limit", "4").stderr == ""


def test_everything_of_a_blocked_job_is_shown(shell: Shell) -> None:
    rows = dict(
        re.split(r"\s{2,}", line, maxsplit=1)
        for line in shell.said("failures", "show", job("v3").id[:9]).splitlines()
    )

    since = rows.pop("wanted since")
    assert since.endswith("UTC (12 min ago)")
    assert rows == {
        "job": job("v3").id,
        "rule": "prod",
        "source": "eu/team/web:v3",
        "destination": "us/mirror/web:v3",
        "state": "blocked",
        "tries": "1",
        "last error": THEIRS,
        "next try": "when it is approved, retried or asked for by a new event",
        "approving it": "deletes us/mirror/web:v3 although replicator did not put there what it holds now",
        "trace id": "a" * 32,
    }


def test_the_next_try_of_a_waiting_job_is_shown(shell: Shell) -> None:
    claim = shell.ledger.claim(job("v1").id)
    assert isinstance(claim, Claim)
    shell.ledger.retry(claim, 30.0, error="answered 503")

    card = shell.said("jobs", "show", job("v1").id)

    assert re.search(r"^next try +in (30|29|28) s$", card, re.MULTILINE)
    assert re.search(r"^tries +1$", card, re.MULTILINE)
    assert re.search(r"^last error +answered 503$", card, re.MULTILINE)
    assert "waits for its next try, after 1 try: answered 503" in shell.said("jobs")


def test_what_ended_and_what_was_unreadable_can_be_shown_too(shell: Shell) -> None:
    ended, letter = shell.said("jobs", "show", job("v5").id), shell.said("failures", "show", letter_id(shell))

    assert re.search(rf"^digest +{Digest.of(b'x')}$", ended, re.MULTILINE)
    assert "next try" not in ended
    assert re.search(r"^reason +it is no JSON$", letter, re.MULTILINE)


def test_show_all_is_json_of_each(shell: Shell) -> None:
    found = json.loads(shell.said("failures", "show", "--all", "--json"))

    assert [one.get("reference", one["id"]) for one in found] == ["v2", "v4", "v3", letter_id(shell)]


# Settling


def test_parked_jobs_are_retried_and_the_unknown_ids_are_told(shell: Shell) -> None:
    result = shell.run("failures", "retry", "abc", job("v2").id[:8])

    assert result.exit_code == 1
    assert result.stderr == "error: abc: no job or dead letter has such an id\n"
    assert result.stdout == f"{job('v2').id}  us/mirror/web:v2: due now\n"
    assert shell.states()["v2"] is State.PENDING


def test_a_blocked_job_is_approved_by_the_words_that_were_read(shell: Shell) -> None:
    assert (
        shell.said("failures", "approve", job("v3").id)
        == f"{job('v3').id}  us/mirror/web:v3: approved: {THEIRS}\n"
    )

    claim = shell.ledger.claim(job("v3").id)
    assert isinstance(claim, Claim)
    assert claim.approves(THEIRS)


def test_only_blocked_jobs_are_approved(shell: Shell) -> None:
    result = shell.run("failures", "approve", job("v2").id)

    assert result.exit_code == 1
    assert "only a blocked job can be approved, and it is parked" in result.stderr
    assert shell.states()["v2"] is State.PARKED


def test_dead_letters_are_retried_and_dropped(shell: Shell) -> None:
    found = letter_id(shell)

    assert shell.said("failures", "retry", found) == f"{found}  dead letter of eu: back in the inbox\n"
    assert shell.ledger.inbox("test").length() == 1
    assert shell.run("failures", "drop", found).exit_code == 1


def test_all_that_a_filter_leaves_in_are_settled(shell: Shell) -> None:
    said = shell.said("failures", "retry", "--all", "--rule", "prod")

    assert said.splitlines()[-1] == "2 of 2: retry"
    assert shell.states() == dict.fromkeys(("v1", "v2", "v3"), State.PENDING) | {"v4": State.PARKED}


def test_what_could_not_be_done_makes_the_exit_status(shell: Shell) -> None:
    result = shell.run("failures", "approve", "--all", "--state", "parked", "--json")

    assert result.exit_code == 1
    assert [one["done"] for one in json.loads(result.stdout)["settled"]] == [False, False]


def test_nothing_to_settle_is_told_as_that(shell: Shell) -> None:
    nothing = "there are no such failures\n"

    assert shell.said("failures", "retry", "--all", "--repository", "none/**") == nothing
    assert shell.said("failures", "--repository", "none/**") == nothing
    shell.said("failures", "drop", "--all")
    assert shell.said("failures") == shell.said("failures", "drop", "--all") == "nothing waits for a person\n"


def test_all_that_can_be_approved_are_the_blocked_ones(shell: Shell) -> None:
    assert shell.said("failures", "approve", "--all").splitlines()[-1] == "1 of 1: approve"
    assert shell.states()["v3"] is State.PENDING


def test_failures_commands_leave_healthy_jobs_alone(shell: Shell) -> None:
    result = shell.run("failures", "drop", job("v1").id)

    assert result.exit_code == 1
    assert "is pending, which is no failure: see `replicator jobs`" in result.stderr
    assert "v1" in shell.states()


def test_jobs_are_dropped(shell: Shell) -> None:
    shell.said("jobs", "drop", job("v1").id)
    shell.said("jobs", "drop", "--all", "--destination", "us")

    assert shell.states() == {"v4": State.PARKED}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("failures", "retry"), "name what you mean by id, or say --all"),
        (("failures", "retry", "abc", "--all"), "name what you mean by id, or say --all"),
        (("failures", "retry", "abc", "--rule", "prod"), "filters belong to --all"),
        (("failures", "--rule", "prdo"), "there is no rule 'prdo'; there are: other, prod"),
        (("jobs", "--destination", "uss"), "there is no destination 'uss'; there are: ap, us"),
        (("jobs", "--source", "uk"), "there is no source 'uk'; there are: eu, us"),
        (
            ("jobs", "--state", "dead"),
            "there is no state 'dead'; there are: blocked, done, parked, pending, running",
        ),
        (("jobs", "--repository", "a["), "repository 'a['"),
        (("undelete", "17"), "17: no deletion has such an id"),
        (("pause",), "name one of --rule and --destination"),
        (("pause", "--rule", "a", "--destination", "b"), "name one of --rule and --destination"),
        (("pause", "--rule", "prdo"), "no rule file knows a rule 'prdo'; there are: other, prod"),
        (("pause", "--destination", "eu"), "no rule file knows a destination 'eu'; there are: ap, us"),
        (("resume", "--rule", "prod"), "the rule 'prod' is not paused; paused are: none"),
        (("export", "--output", "/no/such/place"), "cannot write /no/such/place: No such file or directory"),
    ],
)
def test_a_mistake_is_one_clear_line(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    result = shell.run(*arguments)

    assert result.exit_code == 1
    assert words in str(result.exception)


def test_an_ambiguous_beginning_names_what_it_may_mean(shell: Shell) -> None:
    shell.ledger.submit([Submission(job(f"x{at}"), 1.0) for at in range(300)])

    result = shell.run("jobs", "show", job("v1").id[:1])

    assert result.exit_code == 1
    assert "more than one id begins so" in result.stderr


# Pauses, deletions, export


def test_a_pause_shows_in_status_and_jobs_until_it_is_resumed(shell: Shell) -> None:
    assert shell.said("pause", "--rule", "prod", "--reason", "disk is full").startswith(
        "rule prod is paused: "
    )

    table = shell.said("status").splitlines()
    assert [line.split()[-1] == "yes" for line in table[1:3]] == [True, False]
    assert re.fullmatch(r"paused: rule prod since .* UTC: disk is full", table[-1])
    assert shell.json("status")["pauses"][0]["reason"] == "disk is full"
    assert "waits until rule prod is resumed" in shell.said("jobs")
    assert re.search(
        r"^next try +when its pause ends$", shell.said("jobs", "show", job("v1").id), re.MULTILINE
    )
    assert shell.said("jobs", "retry", job("v1").id).endswith("due as soon as its pause ends\n")
    assert "was paused before" in shell.said("pause", "--rule", "prod")
    assert shell.said("resume", "--rule", "prod") == "rule prod is resumed: what waited is due now\n"
    assert "paused:" not in shell.said("status")


def test_deletions_are_listed(shell: Shell) -> None:
    assert shell.said("undelete") == "nothing was deleted\n"
    shell.ledger.fleet.log_deletion(
        "us",
        Repository("mirror/web"),
        Tag("v1"),
        rule="prod",
        digest=Digest.of(b"{}"),
        manifest_raw=b"{}",
        media_type="x",
    )

    said = shell.said("undelete", "list").splitlines()

    assert said[0].endswith("-0  us/mirror/web:v1")
    assert re.fullmatch(rf" {{4}}{Digest.of(b'{}')}, \d+ s ago, by rule prod", said[1])
    assert shell.json("undelete")["deletions"][0]["reference"] == "v1"


def test_the_export_is_written_whole(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"

    shell.said("export", "--output", str(path))

    assert {one["reference"] for one in json.loads(path.read_text())["jobs"]} == {"v1", "v2", "v3", "v4"}
    printed = json.loads(shell.said("export"))
    assert printed.keys() == json.loads(path.read_text()).keys()
    assert [item.name for item in tmp_path.glob(".ledger*")] == []


# On a terminal


def on_a_terminal(shell: Shell, *arguments: str, answer: bytes) -> tuple[int, str]:
    """What the command ends with, and prints, where a person types `answer`."""
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("replicator"), *arguments]
    process = subprocess.Popen(
        command,
        env={**os.environ, **shell.environment},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(theirs)
    os.write(ours, answer)
    output = process.communicate(timeout=30)[0].decode()
    os.close(ours)
    return process.returncode, output


@pytest.mark.parametrize("verb", ["drop", "approve"])
def test_all_are_settled_only_after_a_yes(shell: Shell, verb: str) -> None:
    asked = ("failures", verb, "--all", "--state", "blocked")

    refused = on_a_terminal(shell, *asked, answer=b"n\n")
    agreed = on_a_terminal(shell, *asked, answer=b"y\n")

    assert refused[0] == 1
    assert f"1: {THEIRS}\n" in refused[1]
    assert f"{verb} 1? [y/N]" in refused[1]
    assert refused[1].endswith("error: nothing was done\n")
    assert agreed[0] == 0
    assert shell.states().get("v3") is (None if verb == "drop" else State.PENDING)


def test_nobody_is_asked_who_said_yes_before(shell: Shell) -> None:
    status, said = on_a_terminal(shell, "failures", "drop", "--all", "--yes", answer=b"")

    assert (status, said.splitlines()[-1]) == (0, "4 of 4: drop")
    assert shell.states() == {"v1": State.PENDING}

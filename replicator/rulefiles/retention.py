"""What a rule file says of retention: sentences, or a lifecycle policy of Amazon ECR as YAML or as JSON text.

sentence = "keep last" N [ "untagged" | tags ]
         | [ "untagged" ] "older than" N ( "day" | "days" ) [ tags ]
tags     = "with" ( "prefix" | "pattern" ) TEXT { "and" TEXT }
"""
# ruff: noqa: N815 - the keys of a lifecycle policy are ECR's

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from replicator.rulefiles.mapping import FileModel
from replicator.rules import Clause, Count, Retention, TagStatus

_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")
_TEXT_LIMIT = 30_720
"""The longest policy that ECR takes."""


def clause(sentence: str) -> Clause:
    """What a sentence says. Raises ValueError that names the sentence and what was expected in it."""
    words = _Words(sentence, sentence.split())
    if words.skip("keep"):
        words.take("last")
        count, number = Count.IMAGES, words.number()
        untagged = words.skip("untagged")
    else:
        untagged = words.skip("untagged")
        words.take("older" if untagged else "keep last, older than or untagged", "older")
        words.take("than")
        count, number = Count.DAYS, words.number()
        words.take("days", "day", "days")
    kind, texts = (None, ()) if untagged else words.tags()
    words.end()
    status = TagStatus.UNTAGGED if untagged else TagStatus.TAGGED if texts else TagStatus.ANY
    prefixes, patterns = (texts, ()) if kind == "prefix" else ((), texts)
    try:
        return Clause(status, count, number, prefixes, patterns)
    except ValueError as exc:
        raise ValueError(f"{sentence!r}: {exc}") from exc


@dataclass(slots=True)
class _Words:
    """The words of a sentence, taken one after the other."""

    sentence: str
    left: list[str]
    taken: list[str] = field(default_factory=list)

    def skip(self, word: str) -> bool:
        """Whether the next word was `word`, which is taken then."""
        is_next = self.left[:1] == [word]
        if is_next:
            self._next()
        return is_next

    def take(self, expected: str, *words: str) -> str:
        """The next word, which is one of `words` (`expected` itself unless given)."""
        if not self.left or self.left[0] not in (words or (expected,)):
            raise self._wrong(expected)
        return self._next()

    def number(self) -> int:
        """The next word, which is a number."""
        if not self.left or not _NUMBER.match(self.left[0]):
            raise self._wrong("a number from 1 on")
        return int(self._next())

    def tags(self) -> tuple[str | None, tuple[str, ...]]:
        """Whether prefixes or patterns follow, and which; (None, ()) if none do."""
        if not self.skip("with"):
            return None, ()
        kind = self.take("prefix or pattern", "prefix", "pattern")
        texts = [self._text()]
        while self.skip("and"):
            texts.append(self._text())
        return kind, tuple(texts)

    def end(self) -> None:
        """Nothing follows."""
        if self.left:
            raise self._wrong("and, or the end" if "with" in self.taken else "the end")

    def _text(self) -> str:
        if not self.left:
            raise self._wrong("the text of a tag")
        return self._next()

    def _next(self) -> str:
        self.taken.append(self.left.pop(0))
        return self.taken[-1]

    def _wrong(self, expected: str) -> ValueError:
        where = f"after {self.taken[-1]!r}" if self.taken else "at the beginning"
        found = f", not {self.left[0]!r}" if self.left else ""
        return ValueError(f"{self.sentence!r}: expected {expected} {where}{found}")


class SelectionFile(FileModel):
    """Which images a rule of a lifecycle policy is about, and how many or how old ones stay."""

    tagStatus: Annotated[TagStatus, Field(strict=False)] = Field(
        description="tagged, by tagPrefixList or tagPatternList; untagged; or any."
    )
    tagPrefixList: list[str] = Field(
        default=[], description="Beginnings of tags, all of which an image must have."
    )
    tagPatternList: list[str] = Field(
        default=[], description="Tags with up to four *, all of which an image must have."
    )
    countType: Annotated[Count, Field(strict=False)] = Field(
        description="imageCountMoreThan keeps the newest so many, sinceImagePushed those of so many days."
    )
    countUnit: Literal["days"] | None = Field(default=None, description="For sinceImagePushed.")
    countNumber: Annotated[int, Field(ge=1)] = Field(description="How many images, or how many days.")

    def clause(self) -> Clause:
        """The same as a clause. Raises ValueError for what makes no sense."""
        prefixes, patterns = tuple(self.tagPrefixList), tuple(self.tagPatternList)
        return Clause(self.tagStatus, self.countType, self.countNumber, prefixes, patterns)

    @model_validator(mode="after")
    def _makes_sense(self) -> "SelectionFile":
        if (self.countUnit is not None) is not (self.countType is Count.DAYS):
            raise ValueError(f"countUnit: days goes with countType: {Count.DAYS}, and only with that")
        self.clause()
        return self


class ActionFile(FileModel):
    """What happens to the images that a rule of a lifecycle policy does not keep."""

    type: Literal["expire"] = Field(description="They are deleted.")


class LifecycleRuleFile(FileModel):
    """One rule of a lifecycle policy."""

    rulePriority: Annotated[int, Field(ge=1)] = Field(
        description="Its place: the lowest is judged first. Unique in the policy."
    )
    description: str = Field(default="", description="For people.")
    selection: SelectionFile
    action: ActionFile


class LifecycleFile(FileModel):
    """A lifecycle policy of Amazon ECR."""

    rules: list[LifecycleRuleFile] = Field(min_length=1, description="Its rules, in any order.")

    @field_validator("rules")
    @classmethod
    def _have_places(cls, rules: list[LifecycleRuleFile]) -> list[LifecycleRuleFile]:
        seen = set()
        for rule in rules:
            if rule.rulePriority in seen:
                raise ValueError(f"two rules have the rulePriority {rule.rulePriority}")
            seen.add(rule.rulePriority)
        return rules


def retention(read: list[str] | LifecycleFile) -> Retention:
    """The retention that was written. Raises ValueError if a clause can decide nothing."""
    if isinstance(read, list):
        return Retention(tuple(clause(sentence) for sentence in read))
    rules = sorted(read.rules, key=lambda rule: rule.rulePriority)
    return Retention(tuple(rule.selection.clause() for rule in rules))


def _sentence(text: str) -> str:
    clause(text)
    return text


def _shape(value: object) -> str:
    return (
        "#mapping" if isinstance(value, dict | FileModel) else "#text" if isinstance(value, str) else "#list"
    )


def _from_json(text: object) -> object:
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        raise ValueError(
            "must be a list of sentences, or a lifecycle policy of ECR as a mapping or as JSON text"
        )
    if len(text) > _TEXT_LIMIT:
        raise ValueError(f"more than {_TEXT_LIMIT} characters, which ECR does not take either")
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as exc:
        raise ValueError(f"not JSON: {exc.msg} (line {exc.lineno} of the text, column {exc.colno})") from exc
    except RecursionError as exc:
        raise ValueError("not a lifecycle policy: nested too deep") from exc


def _without_twins(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _checked(read: list[str] | LifecycleFile) -> list[str] | LifecycleFile:
    retention(read)
    return read


RetentionFile = Annotated[
    Annotated[list[Annotated[str, AfterValidator(_sentence)]], Field(min_length=1), Tag("#list")]
    | Annotated[LifecycleFile, Tag("#mapping")]
    | Annotated[LifecycleFile, BeforeValidator(_from_json), WithJsonSchema({"type": "string"}), Tag("#text")],
    Discriminator(_shape),
    AfterValidator(_checked),
]
"""Retention as a rule file writes it."""

"""What the mappings of rule files have in common: strictness, keys of later versions, names and durations."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from replicator.rulefiles import grammar

NO_VALUE = "has no value; give it one or remove the key"


# "#" keeps the names of a union's branches apart from keys: they show up in the places that pydantic's errors name.
def text_or_list(value: object) -> str:
    """The branch of a union of text and list that `value` belongs to."""
    return "#list" if isinstance(value, list) else "#text"


def text_or_mapping(value: object) -> str:
    """The branch of a union of text and mapping that `value` belongs to."""
    return "#mapping" if isinstance(value, dict | BaseModel) else "#text"


def number_or_text(value: object) -> str:
    """The branch of a union of whole number and text that `value` belongs to."""
    return "#number" if isinstance(value, int) and not isinstance(value, bool) else "#text"


def _duration(text: str) -> str:
    grammar.seconds(text)
    return text


Name = Annotated[
    str, AfterValidator(grammar.name), Field(json_schema_extra={"pattern": grammar.NAME_PATTERN})
]
Duration = Annotated[
    str, AfterValidator(_duration), Field(json_schema_extra={"pattern": grammar.DURATION_PATTERN})
]


class FileModel(BaseModel):
    """A mapping in a rule file: nothing but the keys it knows, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    later_keys: ClassVar[frozenset[str]] = frozenset()
    later_values: ClassVar[dict[str, frozenset[str]]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _has_value(cls, value: object) -> object:
        # `credential:` with nothing after it is a mistake, not a choice to be anonymous.
        if value is None:
            raise ValueError(NO_VALUE)
        return value

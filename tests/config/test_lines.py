"""Error lines: generic over the models, so that a section added later needs no code for its messages."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from backtester.config.loading import line_of
from backtester.config.strict import STRICT, Problem, refuse


class PerUnit(BaseModel):
    """A member of a union, told by its `kind`."""

    model_config = STRICT
    kind: Literal["per_unit"]
    minimum: float = 0.0


class PerOrder(BaseModel):
    """Another one."""

    model_config = STRICT
    kind: Literal["per_order"]
    amount: float = 0.0


class Execution(BaseModel):
    """A section with a nested one."""

    model_config = STRICT
    intrabar: Literal["stop_first", "target_first"] = "stop_first"
    commission: Annotated[PerUnit | PerOrder, Field(discriminator="kind")] | None = None


class Use(BaseModel):
    """An item of a list of sections, whose parameters a validator checks."""

    model_config = STRICT
    name: str
    params: dict[str, int] = {}

    @field_validator("params")
    @classmethod
    def _known(cls, value):
        wrong = [Problem((key,), found, "no such parameter {here}") for key, found in value.items() if key != "period"]
        if wrong:
            refuse("params", wrong)
        return value


class Whole(BaseModel):
    """A config of such sections."""

    model_config = STRICT
    execution: Execution = Execution()
    indicators: list[Use] = []


def lines(content):
    try:
        Whole.model_validate(content)
    except ValidationError as error:
        return [line_of(problem, Whole) for problem in error.errors(include_url=False)]
    return []


def test_nested_sections_and_lists_name_their_own_keys():
    found = lines(
        {
            "execution": {"intrabar": "stopfirst", "commission": {"kind": "per_unit", "minimun": 1.0}},
            "indicators": [{"name": "sma"}, {"nam": "ema", "params": {"perod": 3, "priod": 4, "period": 5}}],
        }
    )

    assert found == [
        "execution.intrabar is 'stopfirst'; expected 'stop_first' or 'target_first'; did you mean 'stop_first'?",
        "execution.commission.minimun: unknown key (found 1.0); did you mean minimum?",
        "indicators[1].name: missing; add it",
        "indicators[1].params.perod is 3; no such parameter {here}",
        "indicators[1].params.priod is 4; no such parameter {here}",
        "indicators[1].nam: unknown key (found 'ema'); did you mean name?",
    ]


def test_a_member_of_a_union_that_does_not_exist_is_named_with_those_that_do():
    [line] = lines({"execution": {"commission": {"kind": "per_unt"}}})

    assert line.startswith("execution.commission: ")
    assert "'per_unit', 'per_order'" in line


def test_a_section_of_the_wrong_type_is_said_so():
    assert lines({"indicators": {"name": "sma"}}) == ["indicators: expected a valid list"]
    assert lines({"executon": 5}) == ["executon: unknown key (found 5); did you mean execution?"]

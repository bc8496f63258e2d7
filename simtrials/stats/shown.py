"""How a result looks when it is printed: one line per number, arrays by their first values, the status as a sentence."""

from typing import Any, TypeVar

import numpy as np

from simtrials.stats.meta_status import SENTENCES, MetaStatus

Result = TypeVar("Result", bound=type)
MOST_SHOWN = 4
"""Values of an array that are printed."""


def readable(result: Result) -> Result:
    """Class decorator of results (named tuples): prints them for a reader; fields, order and unpacking stay."""
    result.__repr__ = _text  # type: ignore[assignment]
    return result


def _text(found: Any) -> str:
    fields = found._asdict()
    width = max(len(name) for name in fields)
    lines = [f"  {name:<{width}}  {_value(name, value)}" for name, value in fields.items()]
    return "\n".join([type(found).__name__, *lines])


def _value(name: str, value: Any) -> str:
    if hasattr(value, "_asdict"):
        return repr(value).replace("\n", "\n  ")
    array = np.asarray(value)
    if array.ndim == 0:
        number = array.item()
        if name == "status" and number in {int(status) for status in MetaStatus}:
            return f"{number} ({SENTENCES[MetaStatus(number)]})"
        return _number(number)
    values = ", ".join(_number(one) for one in array.ravel()[:MOST_SHOWN].tolist())
    more = ", ..." if array.size > MOST_SHOWN else ""
    return f"[{values}{more}], shape {array.shape}"


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)

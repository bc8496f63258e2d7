"""Numbers as a reader sees them: no digit that another seed would change, and never an error of nothing.

Shares are given as a count and what it is of, so that none and all of them can be told from nearly none and nearly all.
"""

import math
from collections.abc import Sequence

from simtrials.core.measures import share_mcse, wilson
from simtrials.report.look import PERCENT_DIGITS

MINUS, DASH = "−", "—"
Z95 = 1.959963984540054
MOST_REPLICATES = 100_000_000
"""More replicates than this are not proposed to anybody."""


def decimals(mcse: float, most: int) -> int:
    """Decimals so that the last printed digit is the first digit of the Monte Carlo error; at most `most`, negative rounds to tens."""
    if not math.isfinite(mcse) or mcse <= 0:
        return most
    return min(-math.floor(math.log10(mcse)), most)


def fixed(value: float, places: int) -> str:
    """A number with so many decimals, thousands apart, a real minus sign, and no minus before zero."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "infinite" if value > 0 else f"{MINUS}infinite"
    rounded = _half_up(value, places)
    text = f"{abs(rounded):,.{max(places, 0)}f}"
    return MINUS + text if rounded < 0 and any(digit in "123456789" for digit in text) else text


def _half_up(value: float, places: int) -> float:
    """Round half away from zero, on the decimal digits that are printed."""
    scaled = abs(value) * 10.0**places
    return math.copysign(math.floor(scaled + 0.5 + 1e-9) / 10.0**places, value)


def whole(n: float) -> str:
    """A count: `10,000`."""
    return fixed(n, 0)


def plain(value: float) -> str:
    """A declared number as short as it is exact: `2`, `0.05`, `10,000`."""
    return f"{value:,.12g}".replace("-", MINUS)


def rounded(value: float, mcse: float, most: int) -> str:
    """A number without its error, with the digits that the error allows."""
    return fixed(value, decimals(mcse, most))


def with_mcse(value: float, mcse: float, most: int) -> str:
    """`84.2 (0.36)`: a number and its Monte Carlo standard error; a number that would print as zero shows the digits that its error shows."""
    if math.isnan(value):
        return DASH
    if mcse == 0:
        return f"{fixed(value, most)} (exact)"
    shown_error = significant(mcse, 2)
    text = fixed(value, decimals(mcse, most))
    if value != 0 and not any(digit in "123456789" for digit in text):
        text = fixed(value, len(shown_error.partition(".")[2]))
        text = text if any(digit in "123456789" for digit in text) else "0"
    return f"{text} ({shown_error})"


def significant(value: float, digits: int) -> str:
    """A number with so many significant digits, no exponent."""
    if not math.isfinite(value) or value == 0:
        return fixed(value, 0)
    places = digits - 1 - math.floor(math.log10(abs(value)))
    places = digits - 1 - math.floor(math.log10(abs(_half_up(value, places))))
    return fixed(value, places)


def _never_zero(half_width: float, places: int) -> str:
    """Half an interval, rounded, and up to one unit of the last digit where it would round to nothing."""
    smallest = 10.0**-places
    return fixed(max(half_width, smallest) if _half_up(half_width, places) == 0 else half_width, places)


def share(count: int, of: int) -> str:
    """A share in percent with its interval: `84.2 ± 0.7`, or `0 of 10,000 (below 0.04)` where the interval would reach beyond 0 or 100."""
    if of == 0:
        return DASH
    half = Z95 * share_mcse(count, of)
    if not half < count / of < 1 - half:
        return counted(count, of)
    places = _places_of_share(count, of)
    return f"{fixed(100 * count / of, places)} ± {_never_zero(100 * half, places)}"


def share_detail(count: int, of: int) -> str:
    """A share in percent with its standard error: `84.2 (0.36)`, or `0 of 10,000 (below 0.04)`."""
    if of == 0:
        return DASH
    if count in (0, of):
        return counted(count, of)
    return f"{fixed(100 * count / of, _places_of_share(count, of))} ({significant(100 * share_mcse(count, of), 2)})"


def bare_share(count: int, of: int) -> str:
    """A share in percent without its error, for a sentence that has the error beside it: `84.2`."""
    return counted(count, of) if count in (0, of) else fixed(100 * count / of, _places_of_share(count, of))


def in_percent(count: int, of: int) -> str:
    """The same with its sign: `84.2%`, or `0 of 10,000 (below 0.04%)`."""
    return counted(count, of, "%") if count in (0, of) else f"{bare_share(count, of)}%"


def counted(count: int, of: int, sign: str = "") -> str:
    """`0 of 10,000 (below 0.04)` and `10,000 of 10,000 (above 99.96)`: a count, and the far end of Wilson's interval in percent."""
    few = 2 * count <= of
    bound = 100 * (wilson(count, of)[1] if few else 1 - wilson(count, of)[0])
    places = max(1, -math.floor(math.log10(bound)))
    bound = math.ceil(bound * 10.0**places - 1e-9) / 10.0**places
    side = f"below {fixed(bound, places)}" if few else f"above {fixed(100 - bound, places)}"
    return f"{whole(count)} of {whole(of)} ({side}{sign})"


def _places_of_share(count: int, of: int) -> int:
    """Decimals of a percentage by its error, and more where it would print as 0 or 100."""
    places, percent = decimals(100 * share_mcse(count, of), PERCENT_DIGITS), 100 * count / of
    while _half_up(percent, places) in (0.0, 100.0):
        places += 1
    return places


def per_hundred(count: int, of: int) -> str:
    """How many of 100, in words: `84`, `70 to 78`, `fewer than 1`, `more than 99`; the reader adds `of 100`."""
    low, high = (100 * limit for limit in wilson(count, of))
    if (high - low) / 2 > 1:
        return f"{fixed(low, 0)} to {fixed(high, 0)}"
    number = _half_up(100 * count / of, 0)
    if number == 0:
        return f"fewer than {math.ceil(high)}"
    return f"more than {math.floor(low)}" if number == 100 else fixed(number, 0)


def span_per_hundred(shares: Sequence[tuple[int, int]]) -> str:
    """How many of 100 over several shares with their intervals: `2 to 3`, or one number when they agree."""
    low = min(wilson(count, of)[0] for count, of in shares)
    high = max(wilson(count, of)[1] for count, of in shares)
    first, last = fixed(100 * low, 0), fixed(100 * high, 0)
    if first == last:
        return f"fewer than {math.ceil(100 * high)}" if last == "0" else first
    return f"{first} to {last}"


def verdict(count: int, of: int, target: float) -> str:
    """`above`, `below` or `cannot tell`: where the 95% Monte Carlo interval lies against a target share."""
    half = Z95 * share_mcse(count, of)
    if count / of - half > target:
        return "above"
    return "below" if count / of + half < target else "cannot tell"


def more_replicates(count: int, of: int, target: float) -> int | None:
    """About how many more replicates would tell the share from the target if it stays as it is; None when more than can be asked for."""
    value = count / of
    if value == target:
        return None
    needed = Z95**2 * max(value * (1 - value), 1 / of) / (value - target) ** 2 - of
    return _about(max(needed, 1.0)) if needed < MOST_REPLICATES else None


def _about(n: float) -> int:
    """One significant digit where that is within 10%, else two."""
    size = 10.0 ** math.floor(math.log10(n))
    one = _half_up(n / size, 0) * size
    return round(one if abs(one - n) <= 0.1 * n else _half_up(10 * n / size, 0) * size / 10)


def cannot_tell(count: int, of: int, target: float) -> str:
    """`78 ± 3: cannot tell; about 900 more replicates would, if 78 holds`."""
    more, value = more_replicates(count, of, target), bare_share(count, of)
    if more is None:
        return f"{share(count, of)}: cannot tell; it is too close to {percent(target)} for any number of replicates"
    return f"{share(count, of)}: cannot tell; about {whole(more)} more replicates would, if {value} holds"


def percent(share_of_one: float) -> str:
    """A declared share in percent, without the sign: `80`, `2.5`."""
    return plain(round(100 * share_of_one, 10))


def probability(level: float) -> str:
    """A level of significance as it is written after P: `.05`."""
    return f"{level:.12g}".removeprefix("0")


def between(low: float, high: float, places: int) -> str:
    """Two ends of a range: `2.4 to 2.8`, one number when they print alike."""
    first, last = fixed(low, places), fixed(high, places)
    return first if first == last else f"{first} to {last}"


def duration(seconds: float) -> str:
    """`4.4 s`, `38 s`, `4 min`, `3 h`."""
    if seconds < 0.05:
        return "below 0.1 s"
    if seconds < 9.95:
        return f"{fixed(seconds, 1)} s"
    if seconds < 99.5:
        return f"{fixed(seconds, 0)} s"
    return f"{fixed(seconds / 60, 0)} min" if seconds < 99.5 * 60 else f"{fixed(seconds / 3600, 0)} h"


def money(value: float) -> str:
    """Two significant digits: `4.6 M`, `850,000`, `12,000`."""
    if value <= 0:
        return "0"
    exponent = math.floor(math.log10(value))
    rounded_value = round(value, 1 - exponent)
    return f"{plain(rounded_value / 1e6)} M" if rounded_value >= 1e6 else whole(round(rounded_value))

"""A fixed sample size and one analysis at the end."""

from typing import Literal

from simtrials.trial.designs.base import DESIGNS, Design


@DESIGNS.register
class Fixed(Design):
    """Everybody is enrolled, followed, and analysed once."""

    kind: Literal["fixed"] = "fixed"

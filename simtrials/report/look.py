"""Colors, sizes, fonts and useful digits of every face: terminal, report, figures.

The colors were checked in gray print and for protan, deutan and tritan vision. Color never carries meaning alone.
"""

INK, SECONDARY, RULE, BAND = "#1B1F24", "#57606A", "#D0D7DE", "#EEF1F4"
"""All text is ink or secondary, never colored."""

CONTROL, ACCENT, THIRD = "#87909A", "#00594F", "#C2570C"
ARM_COLORS = (CONTROL, ACCENT, THIRD, INK)
ARM_MARKERS = ("o", "s", "^", "D")
"""Control is a hollow circle, the active arm a square, further arms a triangle and a diamond."""

PALE_ACCENT, ZONE, SCREENED_OUT, PALE_THIRD = "#8DB8B0", "#DCEBE8", "#D9DEE4", "#F0CDB4"
"""Fills only."""
LEVELS = ("#6FA89E", "#35796E", "#003B34")
"""Three ordered levels, from light to dark; the marker changes too."""
OUTCOME_COLORS, OUTCOME_MARKERS = ("#222F9C", "#B12060", "#8D7512", "#279ACF"), ("o", "s", "^", "D")
"""Outcomes that share an axis, in the order in which they are named; never in one panel with the colors of arms."""
ARM_FILLS = (SCREENED_OUT, PALE_ACCENT, PALE_THIRD, BAND)

CAUTION_TEXT, CAUTION_FILL, WHITE = "#8A4B00", "#FFF4E0", "#FFFFFF"

FONT = "DejaVu Sans"
TEXT_PT, TICK_PT, NOTE_PT, SMALLEST_PT, TITLE_PT = 8.0, 7.5, 7.0, 6.5, 9.0
AXIS_PT, DATA_PT, MARKER_PT = 0.8, 1.6, 4.5
WIDE_MM = 174.0
"""Width of a figure: two columns of a journal."""
LINE_SPACING = 1.28

SVG_SALT = "simtrials"
PNG_DPI = 300

PERCENT_DIGITS, POINT_DIGITS, RATIO_DIGITS = 1, 1, 2
"""Decimals that are useful at most: percent; points; SMD, g and ratios."""
MANY_FAILED = 0.05
"""Share of replicates without an estimate above which a caution precedes the answer."""
TERMINAL_COLUMNS = 80

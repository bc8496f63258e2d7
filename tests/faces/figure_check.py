"""What a reader would trip over in a figure: text off the page, text over text, data beyond the axes.

`untidy(figure)` gives sentences, none when nothing is wrong. Labels of ticks outside the view are left out.
"""

import itertools

import numpy as np
from matplotlib.text import Text

OFF_PAGE, TOUCHING = 1.0, 1.5
"""Pixels by which text may stick out of the page, and by which boxes of two texts may overlap."""


def untidy(figure):
    figure.canvas.draw()
    texts = visible_texts(figure)
    beyond = [problem for axes in figure.axes for problem in points_beyond(axes)]
    return [*off_the_page(figure.bbox, texts), *overlapping(texts), *beyond]


def visible_texts(figure):
    renderer, unseen = figure.canvas.get_renderer(), ticks_out_of_view(figure)
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and text not in unseen]
    boxes = [(text.get_text().strip(), text.get_window_extent(renderer)) for text in shown]
    return [(words, box) for words, box in boxes if box.width > 0]


def ticks_out_of_view(figure):
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        unseen |= {label for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high for label in (tick.label1, tick.label2)}
    return unseen


def off_the_page(page, texts):
    for words, box in texts:
        if box.x0 < page.x0 - OFF_PAGE or box.x1 > page.x1 + OFF_PAGE or box.y0 < page.y0 - OFF_PAGE or box.y1 > page.y1 + OFF_PAGE:
            yield f"off the page: {words[:40]!r}"


def overlapping(texts):
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        if min(a.x1, b.x1) - max(a.x0, b.x0) > TOUCHING and min(a.y1, b.y1) - max(a.y0, b.y0) > TOUCHING:
            yield f"overlap: {one[:26]!r} and {other[:26]!r}"


def points_beyond(axes):
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    for line in axes.lines:
        if line.get_transform() != axes.transData:
            continue
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        count = int(((x < left) | (x > right) | (y < bottom) | (y > top)).sum())
        if count:
            yield f"{count} data points beyond the axes"

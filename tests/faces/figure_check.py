"""What a reader would trip over in a figure: text off the page, text over text, data beyond the axes.

`untidy(figure)` gives sentences, none when nothing is wrong. Labels of ticks outside the view are left out.
"""

import numpy as np
from matplotlib.text import Text

OFF_PAGE, TOUCHING = 1.0, 1.5
"""Pixels by which text may stick out of the page, and by which boxes of two texts may overlap."""


def untidy(figure):
    figure.draw_without_rendering()  # everything is placed as it is when drawn
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
    edges = np.array([box.extents for _, box in texts]).reshape(-1, 2, 2)  # (text, lower and upper, x and y)
    shared = np.minimum(edges[:, np.newaxis, 1], edges[:, 1]) - np.maximum(edges[:, np.newaxis, 0], edges[:, 0])  # (text, text, x and y)
    for one, other in np.argwhere(np.triu((shared > TOUCHING).all(axis=2), 1)):
        yield f"overlap: {texts[one][0][:26]!r} and {texts[other][0][:26]!r}"


def points_beyond(axes):
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    for line in axes.lines:
        if line.get_transform() != axes.transData:
            continue
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        count = int(((x < left) | (x > right) | (y < bottom) | (y > top)).sum())
        if count:
            yield f"{count} data points beyond the axes"

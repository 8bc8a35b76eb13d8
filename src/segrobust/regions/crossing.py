"""A guide whose borders cross the photo's own and never follow them: cells with a true border through their middle."""

import numpy as np
from scipy import ndimage

from segrobust.regions.atoms import find_atoms, nearest
from segrobust.regions.colours import Colouring, random_colours
from segrobust.regions.guide import Guide, cell_side, painted
from segrobust.regions.neighbours import Labels
from segrobust.types import Bools, Ints, Masks

SPACING = 0.83
"""Least distance of two centres, of a cell's side: random centres that leave no gap then have cells of g x g on average
(they cover 0.547 of the plane with discs of half that distance: random sequential adsorption)."""

CLEAR = 1.5
"""How far other centres stay away from borders, of the least distance: a border pixel has a centre on a border within 1
of it, so all that is nearer to a border than 1/4 belongs to such centres."""


def crossing(
    masks: Masks, generator: np.random.Generator, *, grid_rate: float = 0.1, colours: Colouring = random_colours
) -> Guide:
    """A guide of cells that are centred on the borders of the photo's masks.

    Ours: a guide whose cells end where things end shows the model the very borders it should lose. Here centres are
    drawn on the borders of all masks, in random order, each at least d = 0.83 g from all others, until every border
    pixel is within d of one; then in the rest, more than 1.5 d from any border. Each pixel goes to the nearest. So
    all pixels within d / 4 of a true border are in cells whose centres are on a border, and borders of cells cross true
    ones halfway between two such centres, at a right angle where the true one is straight.

    Args:
        masks: of the photo, in any order.
        generator: centres and colours are drawn from it.
        grid_rate: as in ``region_guided_map``; cells have about as many pixels.
        colours: of the regions.

    Returns:
        The guide; no pixel is black.

    Raises:
        ValueError: ``grid_rate`` out of range.
    """
    side = cell_side(masks.size, grid_rate)
    true = border_pixels(find_atoms(masks).labels)
    centres = place_centres(true, max(1.0, SPACING * side), generator)
    seeds = np.zeros(masks.size, np.int32)
    seeds[centres[:, 0], centres[:, 1]] = np.arange(1, len(centres) + 1)
    notes = () if true.any() else ("no borders: the cells of the guide are anywhere",)
    return painted(nearest(seeds)[0], generator, colours, notes)


def border_pixels(labels: Labels) -> Bools:
    """``(H, W)`` bool: the pixels whose right or lower neighbour is in another region."""
    border = np.zeros(labels.shape, np.bool_)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border


def place_centres(border: Bools, spacing: float, generator: np.random.Generator) -> Ints:
    """Centres of cells, ``(n, 2)`` as ``(y, x)``: on the border first, then away from it.

    Args:
        border: ``(H, W)``, the pixels that centres should be on.
        spacing: least distance of two centres, pixels, >= 1.
        generator: the order in which places are tried.
    """
    free = np.ones(border.shape, np.bool_)
    chosen = _scatter(np.argwhere(border), free, spacing, generator)
    reach = 2 * int(np.ceil(CLEAR * spacing)) + 1
    near = border.view(np.uint8)
    for axis in (0, 1):  # of a square, so at least as far in every direction
        near = ndimage.maximum_filter1d(near, reach, axis=axis, mode="constant", cval=0)
    step = max(1, int(spacing / 8))  # fine enough, and a photo has millions of pixels
    lattice = np.stack(np.nonzero((near | ~free)[::step, ::step] == 0), axis=1) * step
    return np.concatenate([chosen, _scatter(lattice, free, spacing, generator)])


def _scatter(places: Ints, free: Bools, spacing: float, generator: np.random.Generator) -> Ints:
    """As many of the places as are ``spacing`` apart when tried in random order; what is too near is no longer free."""
    reach = int(np.ceil(spacing)) - 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    away = x**2 + y**2 >= spacing**2
    chosen = []
    for row, column in generator.permutation(places).tolist():
        if free[row, column]:
            chosen.append((row, column))
            top, left = max(0, row - reach), max(0, column - reach)
            part = free[top : row + reach + 1, left : column + reach + 1]
            a, b = top - row + reach, left - column + reach
            part &= away[a : a + part.shape[0], b : b + part.shape[1]]
    return np.array(chosen, np.int64).reshape(-1, 2)

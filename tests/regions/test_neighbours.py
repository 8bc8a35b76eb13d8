"""regions/neighbours.py: who touches whom, and giving slight regions away."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segrobust.regions.neighbours import absorb, borders, in_order

maps = hnp.arrays(np.int32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 5))


@settings(max_examples=40)
@given(maps)
def test_borders_count_the_pairs_of_pixels(labels: np.ndarray) -> None:
    wanted: dict[tuple[int, int], int] = {}
    for (y, x), one in np.ndenumerate(labels):
        for other in [*labels[y + 1 : y + 2, x], *labels[y, x + 1 : x + 2]]:
            if one != other:
                pair = (int(min(one, other)), int(max(one, other)))
                wanted[pair] = wanted.get(pair, 0) + 1
    pairs, lengths = borders(labels)
    assert dict(zip(map(tuple, pairs.tolist()), lengths.tolist(), strict=True)) == wanted
    assert pairs.tolist() == sorted(pairs.tolist())


def test_a_weak_region_goes_to_the_longest_border() -> None:
    labels = np.array([[0, 0, 0, 1], [0, 2, 2, 1], [3, 2, 2, 1]], np.int32)
    assert absorb(labels, np.array([False, False, True, False])).tolist() == [0, 1, 0, 2]  # 3 edges, against 2 and 1
    assert absorb(labels, np.array([True, False, False, False])).tolist() == [0, 1, 0, 2]
    assert absorb(labels, np.zeros(4, np.bool_)).tolist() == [0, 1, 2, 3]


def test_weak_regions_go_on_together() -> None:
    row = np.array([[0, 1, 2, 3, 4]], np.int32)
    # 1, 2 and 3 are weak; of equal borders each takes the lower neighbour, so all of them end in 0.
    assert absorb(row, np.array([False, True, True, True, False])).tolist() == [0, 0, 0, 0, 1]
    assert absorb(row, np.ones(5, np.bool_)).tolist() == [0] * 5


@settings(max_examples=40)
@given(maps, st.data())
def test_nothing_weak_is_left_beside_anything(drawn: np.ndarray, data: st.DataObject) -> None:
    labels = in_order(drawn.ravel()).reshape(drawn.shape)
    weak = data.draw(hnp.arrays(np.bool_, int(labels.max()) + 1))
    group = absorb(labels, weak)
    strong = np.flatnonzero(~weak)
    assert len(set(group[strong].tolist())) == len(strong)  # they are never joined
    assert group.max() + 1 == max(1, len(strong))
    assert np.array_equal(group, in_order(group))


@given(st.lists(st.integers(-3, 3), min_size=1))
def test_in_order_numbers_by_first_appearance(numbers: list[int]) -> None:
    seen = list(dict.fromkeys(numbers))
    assert in_order(np.array(numbers)).tolist() == [seen.index(number) for number in numbers]

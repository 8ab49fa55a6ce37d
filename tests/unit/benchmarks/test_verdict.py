"""What benchmarks conclude from what they measured."""

from collections import Counter

import pytest

from benchmarks.cost import Cost
from benchmarks.verdict import Aim, Standing, all_cpu, best, comparison, misses, ratio, row, table, wall

AIM = Aim(0.5, (10, 20))


def cost(
    tool: float, *, wall_s: float = 1.0, requests: tuple[int, int] = (10, 20), read_bytes: int = 0
) -> Cost:
    asked = Counter({"GET blob": requests[0]}), Counter({"PUT upload": requests[1]})
    return Cost(wall_s, tool, 0.25, 0.25, asked, read_bytes)


def standing(name: str, *costs: Cost, faults: tuple[str, ...] = ()) -> Standing:
    return Standing(name, costs, faults)


def test_figures_are_medians_of_all_cpu() -> None:
    found = standing("crane", cost(9.0), cost(1.0), cost(2.0))

    assert found.all_cpu_s == 2.5


def test_requests_are_the_most_of_any_round() -> None:
    found = standing("ours", cost(1, requests=(3, 9)), cost(1, requests=(4, 8)))

    assert found.requests == (4, 9)


def test_the_best_peer_may_be_another_one_for_each_figure() -> None:
    peers = [standing("crane", cost(1.0, wall_s=3.0)), standing("skopeo", cost(2.0, wall_s=2.0))]

    assert [best(peers, figure) for figure in (all_cpu, wall)] == peers


def test_a_peer_whose_copy_is_wrong_is_compared_with_nothing() -> None:
    ours = standing("ours", cost(1.5))
    wrong = standing("fast", cost(0.1), faults=("team/app:v1: v1 is another manifest",))
    right = standing("slow", cost(3.5))

    assert best([wrong, right], all_cpu) is right
    assert ratio(ours, [wrong, right], all_cpu) == 0.5
    assert ratio(ours, [wrong], all_cpu) is None
    assert table([ours, wrong, right])[-1] == "fast is disqualified: team/app:v1: v1 is another manifest"


def test_an_aim_is_reached_at_its_very_bounds() -> None:
    ours, peer = standing("ours", cost(1.5)), standing("crane", cost(3.5))

    assert misses(ours, [peer], AIM) == []
    assert comparison(ours, [peer], AIM)[-1] == "the aim is reached"


@pytest.mark.parametrize(
    ("ours", "aim", "missed"),
    [
        (cost(1.6), AIM, "all CPU 0.53 instead of 0.50"),
        (cost(1.5, requests=(11, 20)), AIM, "requests 11 + 20 instead of 10 + 20"),
        (cost(1.5, requests=(10, 21)), AIM, "requests 10 + 21 instead of 10 + 20"),
        (cost(1.5, wall_s=1.1), Aim(0.5, (10, 20), wall=1.0), "wall 1.10 instead of 1.00"),
        (
            cost(1.5, read_bytes=90 * 2**20),
            Aim(0.5, (10, 20), read_mib=80),
            "90 MiB read instead of 80",
        ),
    ],
)
def test_what_is_missed_is_said(ours: Cost, aim: Aim, missed: str) -> None:
    peer = standing("crane", cost(3.5))

    assert misses(standing("ours", ours), [peer], aim) == [missed]


def test_without_a_peer_no_aim_is_reached() -> None:
    assert misses(standing("ours", cost(1.5)), [], AIM) == ["all CPU none instead of 0.50"]


def test_a_wrong_copy_of_ours_reaches_no_aim() -> None:
    ours = standing("ours", cost(1.5), faults=("blob is absent", "blob is absent"))

    assert misses(ours, [standing("crane", cost(3.5))], AIM) == ["wrong: blob is absent"]


def test_a_row_is_the_line_of_the_table_in_the_docs() -> None:
    ours = standing("ours", cost(1.5, wall_s=0.8))

    assert row("W9 a title", ours, [standing("crane", cost(3.5))], AIM) == (
        "| W9 a title | 0.50 | **0.50** | 0.80 | crane | 10 + 20 | 10 + 20 | 0 | yes |"
    )

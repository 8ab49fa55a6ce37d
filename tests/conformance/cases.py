"""The protocol cases that a copier must survive, by the IDs that their tests carry: `test_b7_...` is the test of B7.

A row that does not apply stands in its module's `NOT_OURS` with the reason.
"""

CASES = {
    "A": (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 15, 17, 18, 19, 20, 21),  # manifest read
    "B": (2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22),  # blob read
    "C": (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14),  # blob existence and mount
    "D": (
        1,
        2,
        4,
        5,
        6,
        8,
        11,
        12,
        13,
        14,
        16,
        18,
        20,
        21,
        22,
        23,
        24,
        25,
        26,
        27,
        28,
        29,
        30,
    ),  # blob upload
    "E": (1, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22),  # manifest write and tags
    "F": (2, 3, 4, 5, 6, 7, 8, 11, 12),  # indexes and platforms
    "G": (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18),  # referrers and signatures
    "H": (2, 3, 5, 6, 7, 8, 9, 10, 14, 15),  # tags, catalogue, pagination
    "I": (1, 3, 4, 5, 6, 7, 9, 10, 11, 12),  # delete
    "J": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18),  # logging in
    "K": (1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15, 16, 17, 18),  # errors, retries, rate limits
    "L": (1, 2, 3, 4, 5, 6, 7, 8, 9),  # tls, proxies, addresses
    "M": (1, 3, 4, 5, 6, 7, 8, 9, 11, 12),  # harbor's own ways
    "N": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),  # request budgets
}


def all_ids() -> frozenset[str]:
    """Every case, as `B7`."""
    return frozenset(f"{group}{number}" for group, numbers in CASES.items() for number in numbers)

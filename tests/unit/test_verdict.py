"""What a copy is said to have come through. How verdicts meet plans is tested with the plans."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from replicator.oci import Digest, Repository, Tag
from replicator.verdict import Facts, Verdict, Written, decide, origins, place

ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")
PLACES = [place(name, Repository("team/api"), Tag("v1")) for name in ("eu", "us", "ap")]
DIGESTS = st.sampled_from([ONE, OTHER])
WRITTEN = st.builds(
    Written,
    start=st.sampled_from(PLACES),
    digest=st.none() | DIGESTS,
    intent=st.none() | DIGESTS,
    origins=st.lists(st.sampled_from(PLACES), unique=True).map(tuple),
    at=st.floats(0, 9),
)
FACTS = st.builds(
    Facts,
    wanted=DIGESTS,
    found=st.none() | DIGESTS,
    start=st.just(PLACES[0]),
    end=st.just(PLACES[1]),
    override=st.booleans(),
    here=st.none() | WRITTEN,
    there=st.none() | WRITTEN,
)


@given(FACTS)
def test_a_copy_came_through_its_source_last_and_never_through_where_it_goes(facts: Facts) -> None:
    came_through = origins(facts)

    assert came_through[-1] == facts.start
    assert facts.end not in came_through


@given(FACTS)
def test_what_is_there_already_is_not_copied_whatever_is_remembered(facts: Facts) -> None:
    assert decide(replace(facts, found=facts.wanted)) is Verdict.UNCHANGED

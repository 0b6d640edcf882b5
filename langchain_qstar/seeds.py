"""Randomness as a function of where it is used, never of what ran before.

A search that is stopped and resumed, or whose batches fall differently, must
draw the same samples. So no generator has a state: the seed of every sample is
computed from the seed of the run, the question, the node and the number of the sample.

The question belongs to it: with the same random numbers a model begins the solutions of like
questions alike, so that of many questions with one seed all would be lucky, or none.
"""

from __future__ import annotations

from hashlib import blake2b


def question_seed(run_seed: int, question: str) -> int:
    """The seed of one question's search, from the seed that all questions of a batch may share.

    Args:
        run_seed: The seed of the whole run, any integer.
        question: Its text.

    Returns:
        An integer in [0, 2**63).
    """
    place = f"question {run_seed}/{question}".encode(errors="surrogatepass")
    return int.from_bytes(blake2b(place, digest_size=8).digest()) >> 1


def sample_seed(run_seed: int, node_id: str, sample: int) -> int:
    """The seed of one sample.

    Args:
        run_seed: The seed of the question's search; see `question_seed`.
        node_id: The node whose continuation is sampled.
        sample: The number of the sample at that node, from 0.

    Returns:
        An integer in [0, 2**63).
    """
    place = f"{run_seed}/{node_id}/{sample}".encode()
    return int.from_bytes(blake2b(place, digest_size=8).digest()) >> 1


def uniform(run_seed: int, place: str) -> float:
    """A number in [0, 1), evenly spread over the places, for a choice that no model makes.

    Args:
        run_seed: The seed of the question's search; see `question_seed`.
        place: Where the choice is made; the same place gives the same number.
    """
    drawn = blake2b(f"choice {run_seed}/{place}".encode(), digest_size=8).digest()
    return (int.from_bytes(drawn) >> 11) / 2**53

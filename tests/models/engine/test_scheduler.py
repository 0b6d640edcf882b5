"""The scheduler by hand, a step at a time, over a backend that says what it is told."""

from __future__ import annotations

import numpy as np
import pytest

from langchain_qstar.errors import ModelError
from langchain_qstar.models.engine.backend import Sampling
from langchain_qstar.models.engine.jobs import FeatureJob, NextJob, SampleJob, ScoreJob
from langchain_qstar.models.engine.rows import Endings, Row
from langchain_qstar.models.engine.scheduler import Scheduler
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.engine.thread import Job

FEW_SHOT = tuple(range(100, 120))


@pytest.fixture
def make(make_tokenizer, saying_backend):
    def build(says="abc", **limits):
        tokenizer = make_tokenizer()
        codec = TextCodec(tokenizer)
        backend = saying_backend(tokenizer.encode(says), len(tokenizer))
        endings = Endings(codec, [tokenizer.eos_token_id], len(tokenizer))
        given = {"max_rows": 8, "row_tokens": 10**6, "cache_bytes": 10**6} | limits
        return Scheduler(backend, endings, **given), backend

    return build


def rows(context, *limits):
    return [Row(tuple(context), (), Sampling(seed), limit, 0) for seed, limit in enumerate(limits)]


def submit(scheduler, *groups):
    job = Job(SampleJob(groups))
    scheduler.admit(job)
    return job


def finish(scheduler):
    for _ in range(1000):
        if not scheduler.busy:
            return
        scheduler.step()
    raise AssertionError("never done")


def is_clean(scheduler):
    """Nothing is held but the tree, and nothing of that is pinned."""
    todo = [scheduler.tree.root]
    while todo:
        node = todo.pop()
        assert node.pins == 0
        todo += [child for siblings in node.children.values() for child in siblings]
        assert node.state is not None or node is scheduler.tree.root
    return not (scheduler.busy or scheduler._open or scheduler.backend.said)


def test_a_job_joins_at_the_next_step(make):
    scheduler, backend = make()
    first = submit(scheduler, rows((1, 2), 4))
    scheduler.step()
    second = submit(scheduler, rows((1, 3), 2))
    finish(scheduler)
    assert backend.steps == [1, 2, 2, 1]
    assert (first.future.result(0), second.future.result(0)) == ([2], [2])
    assert is_clean(scheduler)


def test_a_shared_prefix_is_read_once_also_within_one_call(make):
    scheduler, backend = make()
    groups = [rows((*FEW_SHOT, n, n), 2, 3) for n in range(3)]
    job = submit(scheduler, *groups)
    finish(scheduler)
    assert backend.reads == [[FEW_SHOT], [(0, 0), (1, 1), (2, 2)]]
    assert job.future.result(0) == [22, 2, 2]
    counters = scheduler.counters
    assert counters.prefilled == len(FEW_SHOT) + 3 * 2
    assert counters.reused == 2 * 3 * 22 - counters.prefilled
    assert counters.generated == 3 * (2 + 3)
    assert counters.forwarded == counters.prefilled + counters.generated


def test_a_chain_of_missing_segments_is_read_in_one_go(make):
    scheduler, backend = make()
    tree = scheduler.tree
    below = tree.extend((7, 8), tree.extend((1, 2)))
    submit(scheduler, rows(below.ids(), 1))
    scheduler.step()
    assert backend.reads == [[(1, 2), (7, 8)]]


def test_what_was_drawn_is_never_read_again(make):
    scheduler, backend = make()
    group = rows((1, 2), 3)
    submit(scheduler, group)
    finish(scheduler)
    submit(scheduler, rows((1, 2, *group[0].ids), 2))
    finish(scheduler)
    assert backend.reads == [[(1, 2)]]
    assert scheduler.counters.prefilled == 2


def test_rows_beyond_the_cap_wait_and_their_prompts_are_not_read(make):
    scheduler, backend = make(max_rows=2)
    submit(scheduler, rows((1, 2), 2, 2, 2), rows((3, 4), 2))
    scheduler.step()
    assert backend.reads == [[(1, 2)]]
    finish(scheduler)
    assert max(backend.steps) == 2
    assert is_clean(scheduler)


def test_rows_are_capped_by_the_tokens_they_may_hold_but_one_always_runs(make):
    scheduler, backend = make(row_tokens=9)
    submit(scheduler, rows((1, 2), 2, 2, 2), rows((3,) * 20, 3))
    finish(scheduler)
    assert backend.steps == [2, 2, 1, 1, 1, 1, 1]


def test_contexts_do_not_count_where_rows_share_those_of_the_tree(make):
    scheduler, backend = make(row_tokens=4, shared_contexts=True)
    submit(scheduler, rows((1,) * 30, 2, 2, 2))
    finish(scheduler)
    assert backend.steps == [2, 2, 1, 1]


def test_a_crowded_backend_lets_everything_go_that_nobody_needs(make):
    scheduler, backend = make()
    backend.crowded = True
    submit(scheduler, rows((1, 2), 3))
    scheduler.step()
    assert len(scheduler.tree) == 1  # its row is running
    finish(scheduler)
    assert len(scheduler.tree) == 0
    assert scheduler.counters.evicted == 2


def test_rows_of_one_context_start_together_whoever_asked(make):
    scheduler, backend = make()
    starts = []
    join = backend.join

    def noting(given):
        starts.extend(given)
        join(given)

    backend.join = noting
    submit(scheduler, rows((1, 2), 4), rows((1, 2), 9))
    submit(scheduler, rows((1, 2), 2))
    finish(scheduler)
    assert [(start.leaf.tokens, len(start.samplings), start.limit) for start in starts] == [
        ((1, 2), 3, 9)
    ]


def test_a_cancelled_job_frees_its_rows_at_the_next_step(make):
    scheduler, backend = make()
    dropped, kept = submit(scheduler, rows((1, 2), 50)), submit(scheduler, rows((3, 4), 4))
    scheduler.step()
    dropped.future.cancel()
    finish(scheduler)
    assert backend.steps == [2, 1, 1, 1]
    assert kept.future.result(0) == [2]
    assert is_clean(scheduler)


def test_a_job_cancelled_before_its_prompt_was_read_leaves_nothing(make):
    scheduler, backend = make()
    job = submit(scheduler, rows((1, 2), 5))
    job.future.cancel()
    finish(scheduler)
    assert not backend.reads
    assert not scheduler.tree.root.children


def test_segments_leave_within_the_budget_and_are_read_again(make):
    scheduler, backend = make(cache_bytes=4)
    for context in ((1, 1, 1), (2, 2, 2), (1, 1, 1)):
        submit(scheduler, rows(context, 2))
        finish(scheduler)
        assert scheduler.tree.bytes <= 4
    assert [read for reads in backend.reads for read in reads] == [
        (1, 1, 1),
        (2, 2, 2),
        (1, 1, 1),
    ]
    assert scheduler.counters.evicted > 0
    assert is_clean(scheduler)


def test_when_memory_runs_out_half_the_rows_run_at_a_time(make):
    scheduler, backend = make()
    backend.capacity = 3
    job = submit(scheduler, rows((1, 2), 2, 2, 2, 2, 2, 2))
    finish(scheduler)
    assert job.future.result(0) == [2]
    assert backend.steps == [3, 3, 3, 3]
    assert is_clean(scheduler)


def test_one_row_that_is_too_much_is_one_error_and_others_go_on(make):
    scheduler, backend = make()
    backend.capacity = 0
    scheduler.tree.store(scheduler.tree.extend((1, 2)), 2, 2)
    job = submit(scheduler, rows((1, 2), 2))
    finish(scheduler)
    with pytest.raises(ModelError, match="one completion alone is too much") as caught:
        job.future.result(0)
    assert isinstance(caught.value.__cause__, MemoryError)
    backend.capacity = 10
    later = submit(scheduler, rows((1, 2), 2))
    finish(scheduler)
    assert later.future.result(0) == [0]
    assert is_clean(scheduler)


def test_prompts_that_are_too_much_together_are_read_in_smaller_batches(make):
    scheduler, backend = make()
    backend.capacity = 6
    job = submit(scheduler, *(rows((n, n, n, n), 1) for n in range(3)))
    finish(scheduler)
    assert job.future.result(0) == [4, 4, 4]
    assert [len(read) for read in backend.reads] == [1, 1, 1]


def test_a_prompt_that_is_too_much_alone_is_one_error(make):
    scheduler, backend = make()
    backend.capacity = 3
    lost, fine = submit(scheduler, rows((5,) * 9, 1)), submit(scheduler, rows((1, 2), 1))
    finish(scheduler)
    with pytest.raises(ModelError, match="text is too long"):
        lost.future.result(0)
    assert fine.future.result(0) == [2]
    assert is_clean(scheduler)


def test_given_text_is_scored_once_and_only_what_is_new_is_read(make):
    scheduler, _ = make()
    job = Job(ScoreJob([((1, 2), (3, 4)), ((1, 2), (5,)), ((1, 2), (3, 4))]))
    scheduler.admit(job)
    finish(scheduler)
    assert job.future.result(0) == [(-3.0, -4.0), (-5.0,), (-3.0, -4.0)]
    assert scheduler.counters.prefilled == 5
    again = Job(ScoreJob([((1, 2), (5,))]))
    scheduler.admit(again)
    finish(scheduler)
    assert again.future.result(0) == [(-5.0,)]
    assert scheduler.counters.prefilled == 5
    assert is_clean(scheduler)


def test_a_scored_segment_may_be_parted_while_it_waits(make):
    scheduler, _ = make()
    text = tuple(range(10, 40))
    job = Job(ScoreJob([((1, 2), text)]))
    scheduler.admit(job)
    submit(scheduler, rows((1, 2, *text[:20], 9), 1))
    finish(scheduler)
    assert job.future.result(0) == [tuple(-float(token) for token in text)]


def test_next_tokens_are_scored_without_being_read(make):
    scheduler, _ = make()
    job = Job(NextJob([(1, 2, 3), (1, 2, 3), (4,)], (7, 8)))
    scheduler.admit(job)
    finish(scheduler)
    assert job.future.result(0) == [([-3.0, -3.0], 3), ([-3.0, -3.0], 0), ([-1.0, -1.0], 1)]
    assert scheduler.counters.forwarded == 4


def test_features_come_in_the_order_of_their_paths(make):
    scheduler, _ = make()
    job = Job(FeatureJob([(1, 2, 3), (4,), (1, 2, 3)], (1,)))
    scheduler.admit(job)
    finish(scheduler)
    np.testing.assert_array_equal(job.future.result(0)[:, 0], [3, 1, 3])


def test_features_of_different_layers_do_not_mix(make):
    scheduler, backend = make()
    jobs = [Job(FeatureJob([(1, 2, 3), (4,)], layers)) for layers in ((1,), (2,), (1,))]
    seen = []
    read = backend.read

    def noting(chains, *, scored):
        seen.append((backend.layers, sum(len(chain) for chain in chains)))
        return read(chains, scored=scored)

    backend.read = noting
    for job in jobs:
        scheduler.admit(job)
    finish(scheduler)
    assert [job.future.result(0)[:, 0].tolist() for job in jobs] == [[3, 1]] * 3
    assert seen == [((1,), 2), ((2,), 2)]


def test_abandoned_work_leaves_nothing_pinned(make):
    scheduler, _ = make()
    submit(scheduler, rows((1, 2), 5, 6), rows((3, 4), 5))
    scheduler.step()
    submit(scheduler, rows((5, 6), 5))
    scheduler.abandon()
    assert is_clean(scheduler)
    scheduler.end()
    assert not scheduler.tree.bytes

"""Reading many pieces at once, whatever the pieces are, against plain passes over each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from langchain_qstar.models.transformers import tree_reading
from langchain_qstar.models.transformers.architecture import branches_for
from langchain_qstar.models.transformers.forward import CausalModel, Chain
from langchain_qstar.models.transformers.tree_reading import paginate
from langchain_qstar.models.transformers.tree_rows import TreeRows

PATH = tuple(range(20, 36))
PIECES: list[list[tuple[int, ...]]] = [
    [(5, 6, 7), (8,)],
    [(9, 10)],
    [(40, 41, 42, 43, 44, 45), (46, 47), (48,)],
    [(50,)],
    [(60, 61, 62)],
    [(70, 71, 72, 73, 74, 75, 76, 77, 78, 79)],
]


@pytest.fixture
def rows(llama):
    model = CausalModel(llama)
    rows = branches_for(model)
    assert isinstance(rows, TreeRows)
    return rows


def chains(path, kept):
    return [Chain(kept, len(path), segments) for segments in PIECES]


def plain(llama, ids):
    with torch.no_grad():
        return llama(torch.tensor([list(ids)])).logits[0]


@torch.inference_mode()
def check(llama, rows, path):
    kept = []
    if path:
        (read,) = rows.read([Chain([], 0, [path[:7], path[7:]])], scored=False)
        kept = [segment.kept for segment in read.segments]
    readings = rows.read(chains(path, kept), scored=True)
    for segments, reading in zip(PIECES, readings, strict=True):
        ids = [*path, *(token for segment in segments for token in segment)]
        logits = plain(llama, ids)
        after_first = logits.log_softmax(-1)[len(path) : -1]
        expected = after_first.gather(1, torch.tensor(ids[len(path) + 1 :])[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(reading.logprobs), expected, atol=1e-4, rtol=1e-4)
        end = len(path)
        for tokens, segment in zip(segments, reading.segments, strict=True):
            end += len(tokens)
            torch.testing.assert_close(segment.logits, logits[end - 1], atol=1e-4, rtol=1e-4)
            assert segment.kept[0].shape[2] == len(tokens)


@pytest.mark.parametrize("path", [(), PATH])
def test_pieces_below_one_path_agree_with_plain_passes(llama, rows, path):
    check(llama, rows, path)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_they_do_so_in_chunks_and_small_batches(llama, rows, chunk, monkeypatch):
    monkeypatch.setattr(tree_reading, "CHUNK", chunk)
    monkeypatch.setattr(tree_reading, "BATCH", 12)
    check(llama, rows, PATH)


def test_pieces_of_one_path_share_a_page_while_that_pays_off():
    path: list[Any] = []
    pages, texts = paginate([Chain(path, 16, segments) for segments in PIECES])
    # 4 + 2 + 9 + 1 tokens are as many as the path has; the rest begins another page.
    assert [page.size for page in pages] == [16, 13]
    assert [text.first for text in texts] == [0, 4, 6, 15, 0, 3]
    apart = [Chain(list[Any](), 16, segments) for segments in PIECES]
    assert len(paginate(apart)[0]) == len(PIECES)
    assert len(paginate([Chain(path, 0, segments) for segments in PIECES])[0]) == len(PIECES)

"""One loaded local model that many searches share: its thread, its batch, its cache.

`policy.LocalPolicy` is what callers see. Below it: `translation` makes `rows` of
requests, with `text` (the tokenizer) and `grammars`; `thread` runs a `scheduler` over a
`backend`, the library that computes; the scheduler opens `jobs`, keeps what was read in
`kv_tree` and finds what is `missing`; `streaming` hands out a row while it is written.

The backends are packages of their own: `models.transformers` and `models.llamacpp`.
"""

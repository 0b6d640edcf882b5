"""Models of the `transformers` library, on torch.

`policy.TransformersPolicy` is what a search uses. Below it: `loading` opens models,
`decoding` is the engine's backend, `forward` the model's pass, `draws` and `drawing` the
drawing of tokens. How running branches are held is chosen by `architecture`: as
`tree_rows`, which share the keys and values of their path by `tree_attention` and read by
`tree_reading`, or as `forked_rows` with `cache_layers` of their own; `branches` is what
both have in common.
"""

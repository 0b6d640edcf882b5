"""GGUF files on llama.cpp.

`policy.LlamaCppPolicy` is what a search uses. Below it: `loading` opens files and says
what they hold, `tokenizer` is their vocabulary, `context` the memory and forward pass,
`sequences` and `cells` who holds which part of that memory, `reading` and `decoding` the
engine's backend over it, and `draws` the drawing of tokens from logits on the host.
`hub` finds files on the Hugging Face hub, and `export` writes one from a folder.
"""

"""Models behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, `transformers serve`.

`policy.RemotePolicy` is what a search uses. Below it: `abilities` asks a server
once what it can, `wire` writes requests and reads replies, `transport` sends
them, over `replicas`, and `template` renders chats for raw completions.
"""

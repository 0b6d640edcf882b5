"""Local models as LangChain models: `chat.py` for chats, `llm.py` for bare text.

Both hand their requests to the engine of the policy (`engine/policy.py`), so that they share
its batch and its cache with searches on the same model.
"""

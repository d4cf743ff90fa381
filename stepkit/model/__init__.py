"""Models that draw texts and read them, in rows of which each imports only from those above it:

1. what all share: requests and results (engine.py), samplers, prompts (chat.py) and token prefixes;
   engines that stand in front of others (recorded_engine.py, multi_engine.py);
2. ``profiles/``: how process reward models want to be read, as data;
3. the places where a request can be answered, none of which knows another: ``local/`` (llama.cpp in
   this process), ``servers/`` (completions over HTTP, batch files), ``checkers/`` (external
   programs), and ``heads/``, the networks on hidden states;
4. from options to an engine: backend.py and server_backend.py.
"""

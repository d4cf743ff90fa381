"""Models by name: where on this machine the GGUF file of a name is, and how one is fetched.

A name is a path, or begins with the store that holds the model: ``hf:``, ``ollama:``,
``lmstudio:`` or ``llama.cpp:`` (model_reference.py). Each store is a file that knows its folders
and their layout, as a function of what it is shown of a machine (machine.py); locate.py puts them
together, and model_list.py lists what is there. hub.py alone goes on the network, and only when it
is told to.
"""

"""The kinds of final answers, a file each: how it is read, and how it compares with others.

``read...(form, read)`` gives the value of a normal form (answer_spelling.py), or None where it is
of another kind; ``read`` reads the parts. ``compare(a, b, comparison)`` is called with ``a`` of
the file's kind and ``b`` of any, and gives None where a later kind decides. The order of reading
is stated in answer_values.py, that of comparing in answer_equality.py.
"""

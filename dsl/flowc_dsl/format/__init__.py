"""One canonical layout of `.flow` text. Only the space between tokens changes, never a token. Pure.

`doc.py`      documents that know where they may break, and how they are printed
`pieces.py`   the tokens of a text with the comments between them
`layout.py`   what breaks where, for each construct
`formatter.py`  text in, text out, with proof that nothing was lost
"""

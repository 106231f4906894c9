"""Text to tree.

`flow.lark` is the grammar, `table` its parse table, `tokens` the lexer, `parser` the machine,
`build` makes the nodes of `tree`. `recovery` goes on behind faults, `lexical` finds those of
single tokens, `expected` and `faults` word them.
"""

from flowc_dsl.syntax.parser import parse
from flowc_dsl.syntax.tree import Tree

__all__ = ["Tree", "parse"]

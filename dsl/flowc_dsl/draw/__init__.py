"""Pictures of a system, as text: model -> topology -> dot, mermaid, json or svg. Pure.

`topology.py`  what there is to draw: clusters, nodes, edges, each once and in the text's order
`collapse.py`  the same, with each context as one node, for systems too large to read
`dot.py`, `mermaid.py`, `json_text.py`  the text formats
`layout.py`, `order.py`, `place.py`, `svg.py`  flowc's own layered drawing, which needs no program
`verify.py`    proof that a finished drawing holds every edge
"""

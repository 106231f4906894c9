"""Tree to model: a flat list of passes, one a file, in the order of `PASSES`.

A pass reads the trees and what earlier passes left in the `Work`, adds to it, and reports
faults; none of them stops the others.
"""

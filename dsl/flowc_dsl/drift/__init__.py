"""What ran held against what is declared.

- `observed`: what was seen in an event log, as data
- `sql`: the questions to the log, as text; whoever asks it is the engine
- `edges`: the declared edges, and which of them were seen
- `findings`: what differs (8xx, 904), as data with its prose; `judge` finds it
"""

"""Graph -> Graph with smaller constants, and the record of what was done. Numpy only."""

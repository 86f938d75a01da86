"""The demonstration: a recorded camera replayed through the node, its masks recorded, scored and drawn."""

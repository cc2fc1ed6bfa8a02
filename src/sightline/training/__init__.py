"""Training: recipe, budget, one loop for all tasks, checkpoints, export of a verified Model."""

"""The verbs `measure` and `annotate`: whatever has `predict(images)` is measured into a Report, or labels a DatasetVersion."""

"""Video in real time: frames decoded in a process per stream, analysed by a served model, results as events."""

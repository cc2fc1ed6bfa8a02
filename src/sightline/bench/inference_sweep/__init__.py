"""The sweep of `measure --iterations`: latency, throughput and top-k over batch sizes and precisions."""

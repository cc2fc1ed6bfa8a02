"""Model -> Artifact: quantisers behind one table, a gate that proves the result, tuning by timing, and the report of it all."""

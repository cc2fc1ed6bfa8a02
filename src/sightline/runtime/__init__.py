"""Runs compiled graphs: one small back-end seam (`backend`), its implementations (`backends`), and the Predictor above them."""

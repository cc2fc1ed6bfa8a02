"""The model repository: reads folders into sources, opens versions and swaps them, and keeps them within a memory budget."""

"""What differs between tasks: how a sample is made, how a batch is scored; one file each."""

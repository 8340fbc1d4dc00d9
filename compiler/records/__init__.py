"""Every trial that was made, with its fate, in a file that several processes share."""

"""Every figure and table: a function from stored records to a matplotlib figure."""

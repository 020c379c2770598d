"""Documents made of blocks and answers, and numbers as readers see them."""

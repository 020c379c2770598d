"""Documents made of blocks, as HTML and Markdown, and numbers as readers see them."""

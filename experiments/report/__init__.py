"""The report: what the stored runs came to, on one page and as figures."""
